//! A machine that blocks every country, its neighbours' included, keeps what it has from them: its address by DHCP, its
//! routes, and its neighbours.
//!
//! ```text
//! peer namespace                                edge namespace
//! dnsmasq: DHCPv4, DHCPv6, advertisements       geofence: every country, unknown and special-use addresses dropped
//! 5.136.0.1, 2001:3b40::1, both in Russia       dhclient for either family; the kernel hears advertisements
//! ```
//!
//! dnsmasq gives no lease for less than two minutes, but says when to renew one (options 58 and 59). What the client
//! is given is kept for twice the time to renewal and no longer: the kernel removes an address that was not renewed,
//! and with it the route. So a lease is worth as little as wanted, and one that expires is seen for certain, as the
//! kernel reports every address and route that it removes.

use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::daemon::Daemon;
use crate::edge::{Edge, PATIENCE};
use crate::lab::Scale;
use crate::lab::report::Row;
use crate::link::Link;
use crate::namespace::Namespace;
use crate::wait::poll;

pub(super) const STEP: u8 = 11;
pub(super) const WHAT: &str = "leases, routes and neighbours with every country blocked";

/// The router's addresses.
const ROUTER: [&str; 2] = ["5.136.0.1/24", "2001:3b40::1/64"];
/// A policy that lets nothing in: a policy must name a country, and Antarctica has no address.
const POLICY: &str =
    "allow-only = [\"AQ\"]\nunknown = \"drop\"\nspecial-use = \"drop\"\nmail = \"off\"\n";
/// How much longer a busy machine may take for the renewals that must be seen.
const LATE_MAX: Duration = Duration::from_secs(60);
/// How long a neighbour may be looked for: one who asked us in between is known, and only asked back after 5 s.
const FIND_PATIENCE: Duration = Duration::from_secs(10);
/// Seconds between advertisements, and how long the route of one lasts: the first minute they come less regularly.
const ADVERTISED: u32 = 4;
const ROUTE_LASTS: u32 = 30;
/// What the client does with what it is given; its first line is what the log shows.
const SCRIPT: &str = r#"#!/bin/sh
echo "client: $reason"
keep="valid_lft $((new_dhcp_renewal_time * 2)) preferred_lft $((new_dhcp_renewal_time * 2))"
case "$reason" in
BOUND | RENEW | REBIND | REBOOT)
    ip -4 address replace "$new_ip_address/24" dev "$interface" $keep
    ip -4 route replace default via "$new_routers" dev "$interface"
    ;;
BOUND6 | RENEW6 | REBIND6)
    ip -6 address replace "$new_ip6_address/128" dev "$interface" valid_lft "$new_max_life" \
        preferred_lft "$new_preferred_life"
    ;;
EXPIRE | FAIL) ip -4 address flush dev "$interface" ;;
EXPIRE6 | DEPREF6) ip -6 address flush dev "$interface" scope global ;;
esac
"#;

/// How long it goes on and how often a lease is renewed.
struct Pace {
    lasting: Duration,
    renewal: u32,
    /// Renewals that must be seen: the client chooses a moment shortly before each is due.
    renewals: usize,
    /// Advertisements that must be, those asked for included.
    advertisements: usize,
    /// Between two looks for the neighbours.
    between: Duration,
}

impl Pace {
    const fn of(scale: Scale) -> Self {
        match scale {
            Scale::Whole => Self {
                lasting: Duration::from_secs(600),
                renewal: 30,
                renewals: 19,
                advertisements: 60,
                between: Duration::from_secs(5),
            },
            Scale::Short => Self {
                lasting: Duration::from_secs(11),
                renewal: 4,
                renewals: 2,
                advertisements: 1,
                between: Duration::from_millis(500),
            },
        }
    }
}

/// The router with its server, and the machine with its clients.
struct Site {
    // Stopped in this order, the filter's namespace last.
    clients: Vec<Daemon>,
    server: Daemon,
    monitor: Daemon,
    _filter: Daemon,
    edge: Edge,
    _folder: TempDir,
}

/// Watches a machine's leases, routes and neighbours for a while.
pub(super) fn leases(scale: Scale) -> Result<Row> {
    let begun = Instant::now();
    let pace = Pace::of(scale);
    let mut site = Site::open(&pace)?;
    site.wait_configured()?;
    let start = Instant::now();
    let (mut found, mut wrong) = (0, Vec::new());
    // A busy machine renews late; an address that is not renewed in time is among those removed.
    while start.elapsed() < pace.lasting
        || (site.renewals()[0] < pace.renewals && start.elapsed() < pace.lasting + LATE_MAX)
    {
        match site.neighbours() {
            Ok(()) => found += 1,
            Err(error) => wrong.push(format!("{error:#}")),
        }
        std::thread::sleep(pace.between);
    }
    let configured = site.is_configured()?;
    let [renewals, renewals_v6] = site.renewals();
    let server = site.server.stderr();
    let advertisements = server.matches("RTR-ADVERT(").count();
    let monitored = site.monitor.stdout();
    let removed: Vec<&str> = monitored
        .lines()
        .filter(|line| line.starts_with("Deleted"))
        .collect();
    let mut seen = format!(
        "{:.0} s; {renewals} renewals by DHCPv4, {renewals_v6} by DHCPv6, {advertisements} advertisements; \
         {found} times all neighbours found; {} removed",
        start.elapsed().as_secs_f64(),
        removed.len(),
    );
    if let Some(first) = removed.first() {
        seen += &format!(", as `{first}`");
    }
    if let Some(first) = wrong.first() {
        seen += &format!("; {} times not: {first}", wrong.len());
    }
    if !configured {
        seen += "; not configured in the end";
    }
    Ok(Row {
        step: STEP,
        what: WHAT.to_owned(),
        expected: format!(
            "{} renewals or more, no address or route lost, neighbours always found",
            pace.renewals
        ),
        seen,
        took: begun.elapsed(),
        ok: configured
            && renewals >= pace.renewals
            && advertisements >= pace.advertisements
            && removed.is_empty()
            && wrong.is_empty()
            && found > 0,
    })
}

impl Site {
    fn open(pace: &Pace) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let edge = Edge::on(&Link::default().discovery())?;
        let pair = &edge.pair;
        let ends = [
            (&pair.peer, pair.peer_interface.as_str()),
            (&pair.edge, pair.edge_interface.as_str()),
        ];
        for (namespace, interface) in ends {
            namespace.run(&["ip", "address", "flush", "dev", interface])?;
        }
        for address in ROUTER {
            pair.peer.add_address(ends[0].1, address.parse()?)?;
        }
        let path = |name: &str| folder.path().join(name).display().to_string();
        fs::write(path("geofence.toml"), POLICY)?;
        // The machine's resolver, if it has one, is blocked as well.
        let filter = edge.run(&["--config", &path("geofence.toml"), "--force"])?;
        let monitor = {
            let mut command = pair.edge.command("ip");
            command.args(["monitor", "address", "route"]);
            Daemon::spawn(&pair.edge, command)?
        };
        let server = serve(&pair.peer, ends[0].1, pace, &path)?;
        // An address of the link begins what the kernel does by itself: asking for routers.
        let settings = [
            ("accept_ra", "1"),
            ("router_solicitations", "3"),
            ("addr_gen_mode", "0"),
        ];
        for (namespace, interface) in ends {
            for (key, value) in settings {
                namespace.set(&format!("net/ipv6/conf/{interface}/{key}"), value)?;
            }
        }
        fs::write(path("script"), SCRIPT)?;
        fs::set_permissions(path("script"), fs::Permissions::from_mode(0o755))?;
        fs::write(
            path("dhclient.conf"),
            "request subnet-mask, routers, dhcp-renewal-time, dhcp-rebinding-time;\ninitial-interval 1;\n",
        )?;
        let mut clients = Vec::new();
        for family in ["-4", "-6"] {
            let (leases, number) = (path(&format!("leases{family}")), path("number"));
            fs::write(&leases, "")?;
            let mut command = pair.edge.command("dhclient");
            command.args([family, "-d", "-sf", &path("script"), "-lf", &leases]);
            command.args([
                "-cf",
                &path("dhclient.conf"),
                "-pf",
                &format!("{number}{family}"),
            ]);
            command.arg(ends[1].1);
            clients.push(Daemon::spawn(&pair.edge, command)?);
        }
        Ok(Self {
            clients,
            server,
            monitor,
            _filter: filter,
            edge,
            _folder: folder,
        })
    }

    /// How often a lease was renewed, by family.
    fn renewals(&self) -> [usize; 2] {
        let server = self.server.stderr();
        ["DHCPACK(", "DHCPREPLY("].map(|answer| server.matches(answer).count().saturating_sub(1))
    }

    /// Waits for an address of each family and a default route for each.
    fn wait_configured(&mut self) -> Result<()> {
        let configured = poll(PATIENCE, || Ok(self.is_configured()?.then_some(())))?;
        configured.with_context(|| {
            let clients: Vec<_> = self.clients.iter().map(Daemon::stderr).collect();
            format!(
                "no address and default route of each family after {PATIENCE:?}\n--- the server\n{}--- the clients\n{}",
                self.server.stderr(),
                clients.join("")
            )
        })
    }

    fn is_configured(&self) -> Result<bool> {
        let (edge, interface) = (&self.edge.pair.edge, self.edge.interface());
        let ask =
            |words: &[&str]| -> Result<Value> { Ok(serde_json::from_str(&edge.run(words)?)?) };
        for family in ["-4", "-6"] {
            let words = [
                "ip", family, "-json", "address", "show", "dev", interface, "scope", "global",
                "dynamic",
            ];
            let shown = ask(&words)?;
            let addresses = shown[0]["addr_info"].as_array().map_or(0, Vec::len);
            let routes = ask(&["ip", family, "-json", "route", "show", "default"])?;
            if addresses == 0 || routes.as_array().is_none_or(Vec::is_empty) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Has each end forget the other's link address and find it again, for every address that matters.
    fn neighbours(&self) -> Result<()> {
        let pair = &self.edge.pair;
        let (peer, edge) = (
            (&pair.peer, pair.peer_interface.as_str()),
            (&pair.edge, pair.edge_interface.as_str()),
        );
        for ((namespace, interface), other) in [(edge, peer), (peer, edge)] {
            for address in addresses(other)? {
                namespace.run(&["ip", "neighbour", "flush", "dev", interface])?;
                find(namespace, interface, address)
                    .with_context(|| format!("looking for {address} on {interface}"))?;
            }
        }
        Ok(())
    }
}

/// Starts the server of leases and advertisements.
fn serve(
    namespace: &Namespace,
    interface: &str,
    pace: &Pace,
    path: &dyn Fn(&str) -> String,
) -> Result<Daemon> {
    let renewal = pace.renewal;
    let rebinding = renewal + renewal / 2;
    let text = format!(
        "port=0\ninterface={interface}\nbind-interfaces\nno-ping\ndhcp-authoritative\n\
         dhcp-range=5.136.0.10,5.136.0.20,255.255.255.0,120\n\
         dhcp-option=option:router,5.136.0.1\ndhcp-option=58,{renewal}\ndhcp-option=59,{rebinding}\n\
         enable-ra\nra-param={interface},{ADVERTISED},{ROUTE_LASTS}\n\
         dhcp-range=2001:3b40::100,2001:3b40::200,64,120\ndhcp-leasefile={}\npid-file=\n",
        path("leases"),
    );
    fs::write(path("dnsmasq.conf"), text)?;
    let mut command = namespace.command("dnsmasq");
    command.args(["--keep-in-foreground", "--log-facility=-", "--user=root"]);
    command.args(["-C", &path("dnsmasq.conf")]);
    let mut server = Daemon::spawn(namespace, command)?;
    server.wait_line("sockets bound exclusively", PATIENCE)?;
    Ok(server)
}

/// The addresses of an interface.
fn addresses((namespace, interface): (&Namespace, &str)) -> Result<Vec<IpAddr>> {
    let shown: Value = serde_json::from_str(
        &namespace.run(&["ip", "-json", "address", "show", "dev", interface])?,
    )?;
    let found = shown[0]["addr_info"].as_array().context("no addresses")?;
    let found = found
        .iter()
        .filter_map(|one| one["local"].as_str()?.parse().ok());
    let found: Vec<IpAddr> = found.collect();
    ensure!(found.len() >= 3, "{interface} has {found:?} only");
    Ok(found)
}

/// Has the kernel look for a neighbour, and waits until it is found.
fn find(namespace: &Namespace, interface: &str, address: IpAddr) -> Result<()> {
    let scope = namespace.enter(|| nix::net::if_::if_nametoindex(interface))??;
    let (any, to): (&str, SocketAddr) = match address {
        IpAddr::V4(address) => ("0.0.0.0:0", (address, 9).into()),
        IpAddr::V6(address) => (
            "[::]:0",
            std::net::SocketAddrV6::new(address, 9, 0, scope).into(),
        ),
    };
    namespace.enter(|| UdpSocket::bind(any)?.send_to(b"hello", to))??;
    let text = address.to_string();
    let mut last = Value::Null;
    let found = poll(FIND_PATIENCE, || {
        let words = [
            "ip",
            "-json",
            "neighbour",
            "show",
            "dev",
            interface,
            "to",
            &text,
        ];
        last = serde_json::from_str(&namespace.run(&words)?)?;
        Ok((last[0]["state"][0] == "REACHABLE").then_some(()))
    })?;
    found.with_context(|| format!("it was not found: {last}"))
}
