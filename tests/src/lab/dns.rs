//! The domain name system of the laboratory: authorities in blocked countries that our side asks, and an authority of
//! ours that senders there ask.
//!
//! The root, the top-level domains and the domains each have a server of their own, so a name takes three of them. Of
//! two servers one cuts its long answers short over UDP and the other sends them whole, in fragments.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::ground;
use super::network::{CALLING, EDGE, Network, Pair, host};
use super::server::Server;
use crate::namespace::Namespace;

/// How many ordinary domains there are, half of them in each country.
pub(super) const DOMAINS: usize = 20;
/// The domain whose answers are cut short over UDP.
pub(super) const CUT: &str = "wide.cn";
/// The domain whose answers arrive in fragments.
pub(super) const LONG: &str = "signed.ru";
/// Domains whose mail hosts get long messages, over IPv4 and over IPv6.
pub(super) const SLOW: [&str; 2] = ["slow4.ru", "slow6.cn"];

/// A domain: where its authority is and where its mail goes.
#[derive(Clone, Debug)]
struct Domain {
    name: String,
    authority: Pair,
    mail: Pair,
    families: Families,
    long: bool,
}

/// Through which families a mail host can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Families {
    V4,
    V6,
    Both,
}

/// An ordinary domain's name.
pub(super) fn ordinary(number: usize) -> String {
    let top = if number.is_multiple_of(2) { "ru" } else { "cn" };
    format!("d{number}.{top}")
}

/// All domains that mail is kept for in the world.
pub(super) fn names() -> Vec<String> {
    let special = [CUT, LONG, SLOW[0], SLOW[1]].map(str::to_owned);
    (0..DOMAINS).map(ordinary).chain(special).collect()
}

fn domains(network: &Network) -> Vec<Domain> {
    let [russia, china] = network.countries;
    let mut domains: Vec<Domain> = (0..DOMAINS)
        .map(|number| {
            let country = network.countries[number % 2];
            Domain {
                name: ordinary(number),
                authority: country.host(host::PLAIN),
                mail: country.host(host::MX),
                // Not in step with the country, so that each country's hosts are called over both.
                families: if number / 2 % 2 == 0 {
                    Families::V4
                } else {
                    Families::V6
                },
                long: false,
            }
        })
        .collect();
    let special = [
        (CUT, china, host::CUT, host::MX, Families::Both, true),
        (LONG, russia, host::LONG, host::MX, Families::Both, true),
        (
            SLOW[0],
            russia,
            host::PLAIN,
            host::LONG_MX,
            Families::V4,
            false,
        ),
        (
            SLOW[1],
            china,
            host::PLAIN,
            host::LONG_MX,
            Families::V6,
            false,
        ),
    ];
    domains.extend(
        special.map(|(name, country, authority, mail, families, long)| Domain {
            name: name.to_owned(),
            authority: country.host(authority),
            mail: country.host(mail),
            families,
            long,
        }),
    );
    domains
}

/// Starts every authority.
pub(super) fn authorities(network: &Network, folder: &Path) -> Result<Vec<Server>> {
    let [russia, china] = network.countries;
    let (root, top) = (russia.host(host::ROOT), china.host(host::TOP));
    let domains = domains(network);
    let mut servers = Vec::new();
    let mut start = |name: &str, at: Pair, answer: u16, zones: Vec<(String, String)>| {
        let folder = folder.join(name);
        let server = authority(&network.world, &folder, at, answer, &zones)
            .with_context(|| format!("starting the authority {name}"))?;
        servers.push(server);
        anyhow::Ok(())
    };
    let delegated = |name: &str, to: Pair| delegation(name, to);
    let mut text = zone_head(".", root);
    for name in ["ru.", "cn."] {
        text.push_str(&delegated(name, top));
    }
    start("root", root, 1232, vec![(".".to_owned(), text)])?;
    let tops = ["ru.", "cn."].map(|name| {
        let mut text = zone_head(name, top);
        for domain in domains
            .iter()
            .filter(|domain| format!("{}.", domain.name).ends_with(&format!(".{name}")))
        {
            text.push_str(&delegated(&format!("{}.", domain.name), domain.authority));
        }
        (name.to_owned(), text)
    });
    start("top", top, 1232, tops.to_vec())?;
    let places = [
        ("plain-ru", russia.host(host::PLAIN), 1232),
        ("plain-cn", china.host(host::PLAIN), 1232),
        ("cut", china.host(host::CUT), 1232),
        ("long", russia.host(host::LONG), 4096),
    ];
    for (name, at, answer) in places {
        let zones = domains
            .iter()
            .filter(|domain| domain.authority == at)
            .map(|domain| (format!("{}.", domain.name), zone(domain)))
            .collect();
        start(name, at, answer, zones)?;
    }
    Ok(servers)
}

/// Starts the resolver of a host of ours, which asks from its own addresses.
pub(super) fn resolver(
    network: &Network,
    namespace: &Namespace,
    folder: &Path,
    own: Pair,
) -> Result<Server> {
    ground::make(folder)?;
    let root = network.countries[0].host(host::ROOT);
    let hints = format!(
        ". 3600 NS ns.root.\nns.root. 3600 A {}\nns.root. 3600 AAAA {}\n",
        root.v4, root.v6
    );
    fs::write(folder.join("hints"), hints)?;
    let (v4, v6, first) = (own.v4, own.v6, *CALLING.start());
    let at = folder.display();
    let settings = format!(
        "    outgoing-interface: {v4}
    outgoing-interface: {v6}
    outgoing-port-avoid: 0-{}
    outgoing-range: 256
    num-queries-per-thread: 128
    root-hints: \"{at}/hints\"
    module-config: \"iterator\"
    edns-buffer-size: 4096
    max-udp-size: 4096
    target-fetch-policy: \"0 0 0 0 0\"
",
        first - 1
    );
    unbound(namespace, folder, &settings)
}

/// Starts our own authority on the edge, for the domain of the mail host there.
pub(super) fn own_authority(network: &Network, folder: &Path, domain: &str) -> Result<Server> {
    let name = format!("{domain}.");
    let mut text = zone_head(&name, EDGE);
    text.push_str(&format!(
        "{name} 0 MX 10 mx.{name}\nmx.{name} 0 A {}\nmx.{name} 0 AAAA {}\n",
        EDGE.v4, EDGE.v6
    ));
    authority(&network.edge, folder, EDGE, 1232, &[(name, text)])
}

/// Starts the resolver of senders in the world. It asks our authority about our domain over one family and protocol.
pub(super) fn senders_resolver(
    network: &Network,
    folder: &Path,
    domain: &str,
    (v6, tcp): (bool, bool),
) -> Result<Server> {
    ground::make(folder)?;
    let asking = network.countries[0].host(host::CALLERS[0]);
    let yes = |is: bool| if is { "yes" } else { "no" };
    let settings = format!(
        "    outgoing-interface: {}
    do-ip4: yes
    do-ip6: {}
    tcp-upstream: {}
    module-config: \"iterator\"
    target-fetch-policy: \"0 0 0 0 0\"
stub-zone:
    name: \"{domain}\"
    stub-addr: {}
",
        asking.of(v6),
        yes(v6),
        yes(tcp),
        EDGE.of(v6),
    );
    unbound(&network.world, folder, &settings)
}

/// Starts a resolver that answers this namespace alone, with more settings of the server and sections behind them.
fn unbound(namespace: &Namespace, folder: &Path, settings: &str) -> Result<Server> {
    let at = folder.display();
    let text = format!(
        "server:
    directory: \"{at}\"
    chroot: \"\"
    username: \"\"
    pidfile: \"\"
    use-syslog: no
    num-threads: 1
    interface: 127.0.0.1
    access-control: 127.0.0.0/8 allow
{settings}remote-control:
    control-enable: no
"
    );
    let config = folder.join("unbound.conf");
    fs::write(&config, text)?;
    let words = ["unbound", "-d", "-p", "-c", text_of(&config)?];
    let mut server = Server::start(namespace, "unbound", folder, &words)?;
    server.wait_port(namespace, SocketAddr::from((Ipv4Addr::LOCALHOST, 53)))?;
    Ok(server)
}

fn authority(
    namespace: &Namespace,
    folder: &Path,
    at: Pair,
    answer: u16,
    zones: &[(String, String)],
) -> Result<Server> {
    ground::make(folder)?;
    let place = folder.display();
    let mut text = format!(
        "server:
    ip-address: {}
    ip-address: {}
    username: \"\"
    pidfile: \"\"
    database: \"\"
    server-count: 1
    zonesdir: \"{place}\"
    zonelistfile: \"{place}/zone.list\"
    xfrdfile: \"{place}/xfrd.state\"
    xfrdir: \"{place}\"
    ipv4-edns-size: {answer}
    ipv6-edns-size: {answer}
    rrl-ratelimit: 0
    rrl-whitelist-ratelimit: 0
remote-control:
    control-enable: no
",
        at.v4, at.v6
    );
    for (number, (name, content)) in zones.iter().enumerate() {
        fs::write(folder.join(format!("{number}.zone")), content)?;
        text.push_str(&format!(
            "zone:\n    name: \"{name}\"\n    zonefile: \"{number}.zone\"\n"
        ));
    }
    let config: PathBuf = folder.join("nsd.conf");
    fs::write(&config, text)?;
    let mut server = Server::start(
        namespace,
        "nsd",
        folder,
        &["nsd", "-d", "-c", text_of(&config)?],
    )?;
    for v6 in [false, true] {
        server.wait_port(namespace, SocketAddr::new(at.of(v6), 53))?;
    }
    Ok(server)
}

/// The start of a zone: its authority is the host `ns` (`ns.root` for the root) in it.
fn zone_head(name: &str, at: Pair) -> String {
    let ns = if name == "." {
        "ns.root.".to_owned()
    } else {
        format!("ns.{name}")
    };
    format!(
        "$TTL 3600\n{name} SOA {ns} hostmaster.{ns} 1 3600 600 86400 60\n{name} NS {ns}\n{ns} A {}\n{ns} AAAA {}\n",
        at.v4, at.v6
    )
}

fn delegation(name: &str, to: Pair) -> String {
    format!(
        "{name} NS ns.{name}\nns.{name} A {}\nns.{name} AAAA {}\n",
        to.v4, to.v6
    )
}

/// A domain's zone. Who receives its mail is asked anew each time: those answers live for no time.
fn zone(domain: &Domain) -> String {
    let name = format!("{}.", domain.name);
    let mut text = zone_head(&name, domain.authority);
    let Domain { mail, families, .. } = domain;
    text.push_str(&format!("{name} 0 MX 10 mx.{name}\n"));
    let mut address = |host: &str| {
        if *families != Families::V6 {
            text.push_str(&format!("{host} 0 A {}\n", mail.v4));
        }
        if *families != Families::V4 {
            text.push_str(&format!("{host} 0 AAAA {}\n", mail.v6));
        }
    };
    address(&format!("mx.{name}"));
    if domain.long {
        address(&format!("*.{name}"));
        // No label twice, so that compression does not make them short: together about 2,000 bytes.
        for number in 20..30 {
            let label = |letter: &str| format!("{number}{}", letter.repeat(55));
            let (a, b, c) = (label("a"), label("b"), label("c"));
            text.push_str(&format!("{name} 0 MX {number} {a}.{b}.{c}.{name}\n"));
        }
    }
    text
}

fn text_of(path: &Path) -> Result<&str> {
    path.to_str().context("a path of ours is not text")
}
