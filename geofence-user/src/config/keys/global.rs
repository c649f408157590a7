//! The keys of the top level. Their defaults are not here: they are what the shipped file says.

use std::num::NonZeroU32;

use geofence_common::action::Mode;
use geofence_common::maps::IMAGE_MIB_MAX;

use super::{country_rule, events};
use crate::config::configuration::{Config, XdpMode};
use crate::config::key::Key;
use crate::config::key_doc::Kind;
use crate::config::{addresses, asn_mentions, values};
use crate::model::policy::{Action, AsRule, CrossCheckRule, Lookup, Mail, MailDns, Replies};

/// The smallest flow table: below, the kernel's bookkeeping evicts flows in use.
const FLOWS_MIN: u32 = 1024;
/// The largest: two gigabytes of memory.
const FLOWS_MAX: u32 = 16 << 20;
const FLOWS_DETAILS: &str = "A flow takes about 150 bytes, reserved at the start. A full table forgets the flow that \
     was used least recently.";
const FLOWS_REFUSED: &str = "Less than 1024, and more than 16777216.";

/// The highest limit that a rate limiter can tell from no limit.
const RATE_LIMIT_MAX: u32 = 1_000_000;

const MEMBERS: &str = "prefixes, addresses and autonomous systems";
const MEMBERS_DETAILS: &str = "An address without a length is that address alone. `\"AS64500\"` is every prefix that \
     `asn-database` gives to that autonomous system, and `\"AS:Example Org\"` every prefix of the organisation of that \
     name.";
const MEMBERS_REFUSED: &str = "Anything but prefixes and autonomous systems; bits set behind the prefix's length; IPv4 \
     addresses in IPv6 form (`::ffff:192.0.2.1`); an entry given twice; an autonomous system without `asn-database`, \
     or of which that file has no network, with the nearest.";

type K = Key<Config>;

/// The keys, in the order of the documentation.
pub(in crate::config) fn keys() -> Vec<Key<Config>> {
    let mut keys = own_keys();
    keys.extend(events::keys());
    keys
}

fn own_keys() -> Vec<Key<Config>> {
    vec![
        K::list("interfaces", "names of interfaces", addresses::interface, |config| {
            &mut config.interfaces
        })
        .meaning("The network interfaces to protect.")
        .details(
            "Alternative names (`ip link property add altname`) are understood too. Without any interface, `geofence \
             run` needs `--interface`. `geofence check` warns of those that do not exist; the other commands ignore \
             this key.",
        )
        .example(r#"interfaces = ["eth0", "eth1"]"#)
        .refused(
            "What the kernel does not accept as a name: empty, longer than 127 bytes, with blanks, `/` or `:`; a name \
             given twice.",
        ),
        K::list(
            "inner-interfaces",
            "names of interfaces",
            addresses::interface,
            |config| &mut config.inner_interfaces,
        )
        .meaning("The interfaces behind which your own machines are, although they are protected.")
        .details(
            "A forwarded packet that came in by a protected interface, or by a device above one, opens no flow, so \
             answers to it from blocked countries are dropped. If packets of your own machines come in by such an \
             interface, name it here: a router whose interfaces are all protected, a VLAN towards your machines on a \
             protected device, or the only interface of a router (one-armed). Packets are judged there as everywhere. \
             A stranger who can send packets with addresses of yours in by an inner interface can open flows, so \
             before you name the interface that also leads outside, make the network in front of it drop such packets \
             (BCP 38). Interfaces that are neither protected nor above a protected one need not be named.",
        )
        .example(r#"inner-interfaces = ["eth1"]"#)
        .refused("As for `interfaces`."),
        K::word::<Mode, _>("mode", |config| &mut config.policy.settings.mode)
            .meaning("Whether drops are carried out or only counted.")
            .details("In either mode every packet is counted under the same reason.")
            .example(r#"mode = "monitor""#),
        K::word::<XdpMode, _>("xdp-mode", |config| &mut config.xdp_mode)
            .meaning("Where on a packet's way the filter is attached.")
            .example(r#"xdp-mode = "auto""#),
        K::word::<Lookup, _>("lookup", |config| &mut config.policy.lookup)
            .meaning("The engine that finds an address's country and lists.")
            .details("Both give the same answers. The second is the reference to compare the first with.")
            .example(r#"lookup = "lpm-trie""#),
        K::text("listen", "an IP address and a port", addresses::listen, |config| {
            &mut config.listen
        })
        .meaning("Where the daemon answers /metrics and /healthz.")
        .details("Without `web-config`, an address that others can reach shows them the counters.")
        .example(r#"listen = "[::1]:10317""#)
        .refused("Host names, and an address without a port."),
        K::list("listen-names", "host names", addresses::host_name, |config| {
            &mut config.listen_names
        })
        .meaning("Names by which clients ask this machine for /metrics, besides its own host name.")
        .details(
            "A request to another name is refused, because a web site could make browsers in your network read the \
             counters by DNS rebinding. Addresses and `localhost` always pass. With `web-config`, every name passes.",
        )
        .example(r#"listen-names = ["edge1.example.net"]"#)
        .refused("A port, a URL, and anything else that is not a host name; a name given twice."),
        K::text("web-config", "the path of a YAML file", values::optional_path, |config| {
            &mut config.web_config
        })
        .meaning("The file with TLS and users for the listener; empty for neither.")
        .details(
            "The form is that of Prometheus' exporter toolkit: `tls_server_config` with `cert_file`, `key_file`, \
             `client_ca_file`, `client_auth_type`, `min_version` and `max_version`, and `basic_auth_users` with bcrypt \
             hashes. A relative path starts at the directory of the configuration file. \
             [Metrics](metrics.md#who-may-read-them) has an example.",
        )
        .example(r#"web-config = "/etc/geofence/web.yml""#)
        .refused("A URL. What the file says is checked when the address is bound, and when the file changes."),
        K::text("fleet-user", "the name or number of a user", values::user, |config| {
            &mut config.fleet_user
        })
        .meaning("The user that the fleet agent of this machine runs as; empty for none.")
        .details(
            "That user may ask the daemon on a second socket, `agent.sock` beside the control socket: it may add and \
             remove exceptions whose names begin with `fleet-`, ban and unban, put a policy on trial, and read the \
             status. The lock-out check protects the servers that the user's connections lead to. \
             [The fleet](fleet.md) explains the agent.",
        )
        .example(r#"fleet-user = "geofence-fleet""#)
        .refused(
            "Anything but the name or number of a user. A user that does not exist is a shortfall: `geofence status` \
             names it.",
        ),
        K::list("databases", "paths of MMDB files", values::database, |config| {
            &mut config.databases
        })
        .meaning("The GeoIP databases; with none, the embedded one is used.")
        .details(
            "Several files are read together, for vendors who split the address families. A relative path starts at \
             the directory of the configuration file.",
        )
        .example(r#"databases = ["/var/lib/geofence/country.mmdb"]"#)
        .refused(
            "An empty path, a URL, and a path given twice. Whether a file is a database is checked when it is read.",
        ),
        K::list("accept-database-types", "types of databases", values::database_type, |config| {
            &mut config.accepted_database_types
        })
        .meaning("The types of databases that may replace another vendor's, however much they differ.")
        .details(
            "The sanity check compares new data with the data in use, and a vendor's first database with the embedded \
             one. Vendors place addresses differently, so a refusal names the line that accepts this vendor for good. \
             A later release is still compared with the one before. `geofence check` shows the type of each database.",
        )
        .example(r#"accept-database-types = ["GeoLite2-Country"]"#)
        .refused("An empty type, and a type given twice."),
        K::list("cross-check-databases", "paths of MMDB files", values::database, |config| {
            &mut config.cross_check_databases
        })
        .formerly("second-opinion")
        .meaning("A second GeoIP database to compare countries with; empty for none.")
        .details(
            "Take it from another vendor, because every database has errors. `cross-check` decides what happens to an \
             address whose country differs. Several files are read together, as with `databases`. \
             [Cross-check](origins.md#the-cross-check) has more.",
        )
        .example(r#"cross-check-databases = ["/var/lib/geofence/other.mmdb"]"#)
        .refused("As for `databases`."),
        K::word::<CrossCheckRule, _>("cross-check", |config| &mut config.policy.cross_check)
            .formerly("agreement")
            .meaning("Which of the two databases must place an address in a blocked country.")
            .details(
                "It needs `cross-check-databases`. The address then counts under the country of the database that \
                 decided. If the second database does not know an address, the first decides alone.",
            )
            .example(r#"cross-check = "all""#),
        K::text(
            "asn-database",
            "the path of an MMDB file",
            values::optional_database,
            |config| &mut config.asn_database,
        )
        .meaning("The database of autonomous systems, for events and for rules that name some; empty for none.")
        .details(
            "GeoLite2-ASN, DB-IP ASN Lite, IPinfo Lite and the like: a file is read by what its records hold. A \
             relative path starts at the directory of the configuration file. \
             [Autonomous systems](origins.md#autonomous-systems) has more.",
        )
        .example(r#"asn-database = "/var/lib/geofence/asn.mmdb""#)
        .refused("A URL. Whether the file is such a database is checked when it is read."),
        K::number(
            "capacity-mib",
            0..=IMAGE_MIB_MAX,
            (
                "size of an image slot",
                "write 0 for automatic, or the MiB to reserve, such as capacity-mib = 64",
            ),
            |config, mib| {
                config.image_capacity = (mib != 0).then_some(u64::from(mib) << 20);
            },
        )
        .meaning("The size of each of the two slots for policy images, in MiB; 0 is automatic.")
        .details(
            "Automatic is twice the size of the first image, at least 16 MiB and at most 511. The size is fixed while \
             the filter runs. An image that does not fit is refused, and the active one stays.",
        )
        .example("capacity-mib = 64")
        .refused("Negative numbers, and more than 511, which is as far as the kernel lets a program reach."),
        K::text("instance", "letters, digits, `-` and `_`", values::instance, |config| {
            &mut config.instance
        })
        .meaning("The name of this geofence, for a machine that runs several.")
        .details(
            "Links and tables are pinned in `/sys/fs/bpf/geofence/NAME`, the last good image is stored in \
             `/var/lib/NAME`, and the control socket is `/run/NAME/control.sock`. `geofence reload`, `status` and \
             `detach` take the name with `--instance`.",
        )
        .example(r#"instance = "geofence-lan""#)
        .refused("Other characters, an empty name, and more than 48 bytes."),
        country_rule::block(|config: &mut Config| &mut config.policy.settings.rule)
            .meaning("The countries whose packets are dropped.")
            .details("Set either this or `allow-only`. `block = []` blocks no country.")
            .example(r#"block = ["RU", "BY", "south-america"]"#)
            .refused(
                "What is neither an upper-case code nor a group, with the spelling that was probably meant (`UK` \
                 suggests `GB`, `Russia` suggests `RU`); an entry given twice; both `block` and `allow-only`.",
            ),
        country_rule::allow_only(|config: &mut Config| &mut config.policy.settings.rule)
            .meaning("The only countries whose packets are not dropped.")
            .details(
                "The inverse of `block`: every other country is blocked. Addresses without a known country follow \
                 `unknown`.",
            )
            .example(r#"allow-only = ["EU", "CH", "NO"]"#)
            .refused(
                "An empty list, which would block the world. As for `block`: what is neither an upper-case code nor a \
                 group; an entry given twice; both `block` and `allow-only`.",
            ),
        K::word::<Action, _>("unknown", |config| &mut config.policy.settings.unknown)
            .meaning("What happens to packets from addresses that no database knows.")
            .example(r#"unknown = "drop""#),
        K::word::<Action, _>("special-use", |config| {
            &mut config.policy.settings.special_use
        })
        .meaning("What happens to packets from special-use addresses (RFC 6890).")
        .details(
            "Private, shared, link-local and documentation addresses and the like belong to no country, whatever a \
             database says. Drop them only on interfaces that face nothing but the internet.",
        )
        .example(r#"special-use = "drop""#),
        K::word::<Mail, _>("mail", |config| &mut config.policy.settings.mail)
            .meaning("Which TCP ports of mail stay open to blocked countries.")
            .details("UDP or SCTP to the same ports is not mail.")
            .example(r#"mail = "mta""#),
        K::word::<MailDns, _>("mail-dns", |config| &mut config.policy.mail_dns)
            .meaning("Whether DNS queries from blocked countries pass, over UDP and TCP to port 53.")
            .details(
                "A mail server looks up the MX of our domain before it sends. If this machine is the domain's name \
                 server, open mail ports are useless while those queries are dropped. A name server on a loopback \
                 address, or on an interface that is not protected, does not count. geofence looks again every ten \
                 seconds, and `geofence check` and `geofence status` say what is open and why. Set it to \"on\" for \
                 name servers behind this machine.",
            )
            .example(r#"mail-dns = "off""#),
        K::word::<Replies, _>("replies", |config| &mut config.policy.replies)
            .meaning("Which packets from our side a blocked country may reply to.")
            .details(
                "A reply passes when it belongs to exactly the flow that our side opened, for as long as that flow \
                 lives: two hours and four minutes after our last packet of a TCP connection, four minutes while it \
                 opens or closes, a minute for DNS. ICMP errors about such flows, and about exempted services, pass \
                 from routers of any country. Name only the outer interfaces in `interfaces`, or the others in \
                 `inner-interfaces` too: a packet that enters by an outer one and is forwarded opens no flow.",
            )
            .example(r#"replies = "all""#),
        K::switch("mta-sts", |config| &mut config.policy.mta_sts)
            .meaning(
                "Whether a blocked country may also reply to HTTPS, from which mail servers fetch MTA-STS policies.",
            )
            .details("With `replies = \"mail\"`, TCP to port 443 counts as mail that our side sends (RFC 8461).")
            .example("mta-sts = true")
            .refused("What is neither true nor false."),
        flows("mail-flows", |config, flows| config.flows.mail = flows)
            .meaning("How many mail flows to blocked countries are remembered.")
            .example("mail-flows = 65536"),
        flows("dns-flows", |config, flows| config.flows.dns = flows)
            .meaning("How many DNS flows to blocked countries are remembered.")
            .example("dns-flows = 262144"),
        flows("other-flows", |config, flows| config.flows.other = flows)
            .meaning("How many other flows to blocked countries are remembered, with `replies = \"all\"`.")
            .example("other-flows = 1000000"),
        K::list("services", "services", values::service, |config| {
            &mut config.policy.settings.services
        })
        .meaning("Further ports that stay open to blocked countries.")
        .details("A service is a protocol, `tcp` or `udp`, and a port or a range of ports.")
        .example(r#"services = ["tcp/443", "udp/51820", "tcp/9000-9010"]"#)
        .refused(
            "Other protocols, with the nearest; port 0 and ports above 65535; a range that ends before it begins; a \
             service given twice.",
        ),
        K::word::<Action, _>("icmp-echo", |config| &mut config.policy.settings.icmp_echo)
            .meaning("What happens to echo requests (ping) from blocked countries.")
            .example(r#"icmp-echo = "pass""#),
        K::number(
            "rate-limit",
            0..=RATE_LIMIT_MAX,
            (
                "number of packets per second",
                "write 0 for no limit, or a limit such as rate-limit = 200",
            ),
            |config, packets| config.policy.rate_limit = NonZeroU32::new(packets),
        )
        .formerly("pressure")
        .meaning(
            "How many packets per second one source of a blocked country may send to exempted services; 0 is no limit.",
        )
        .details(
            "A source is an IPv4 address, or the first 64 bits of an IPv6 address. A burst may have the packets of two \
             seconds. The limit bounds a flood through an open mail port; mail itself needs some tens of packets per \
             second.",
        )
        .example("rate-limit = 200")
        .refused("Negative numbers, and more than 1000000."),
        K::list("translation-prefixes", "prefixes", addresses::translation, |config| {
            &mut config.policy.translation_prefixes
        })
        .meaning("IPv6 prefixes in which a translator (NAT64) of your network places IPv4 addresses.")
        .details(
            "A source in such a prefix is judged by the IPv4 address that it embeds (RFC 6052): the last four bytes, \
             or those that a prefix of 48 bits uses. 64:ff9b::/96 and 64:ff9b:1::/48 are such prefixes already.",
        )
        .example(r#"translation-prefixes = ["2001:db8:64::/96"]"#)
        .refused("Anything but IPv6 prefixes of 96 or 48 bits; bits set behind it; a prefix given twice."),
        K::list("management", "prefixes and addresses", addresses::management, |config| {
            &mut config.policy.management
        })
        .meaning("Where the machine is managed from: these sources pass before anything can drop them.")
        .details("List the addresses you log in from before you enforce a policy that might block them.")
        .example(r#"management = ["198.51.100.7", "2001:db8:17::/48"]"#)
        .refused(
            "Anything but prefixes; bits set behind the prefix's length; IPv4 addresses in IPv6 form; a prefix given \
             twice; `0.0.0.0/0` and `::/0`, with which nothing would be filtered.",
        ),
        K::new("allow", Kind::List(MEMBERS), |config, value, faults| {
            if let Some(prefixes) = asn_mentions::members(config, value, &AsRule::Allow, faults) {
                config.policy.allow = prefixes;
            }
        })
        .meaning("Sources that pass whatever their country, and even if `deny` lists them too.")
        .details(MEMBERS_DETAILS)
        .example(r#"allow = ["203.0.113.0/24"]"#)
        .refused(MEMBERS_REFUSED),
        K::new("deny", Kind::List(MEMBERS), |config, value, faults| {
            if let Some(prefixes) = asn_mentions::members(config, value, &AsRule::Deny, faults) {
                config.policy.deny = prefixes;
            }
        })
        .meaning("Sources that are dropped whatever their country, mail included.")
        .details(MEMBERS_DETAILS)
        .example(r#"deny = ["192.0.2.66", "2001:db8:bad::/48"]"#)
        .refused(MEMBERS_REFUSED),
    ]
}

fn flows(name: &'static str, set: fn(&mut Config, u32)) -> Key<Config> {
    let texts = (
        "size of a flow table",
        "write how many flows may be open at once, such as 65536",
    );
    K::number(name, FLOWS_MIN..=FLOWS_MAX, texts, set)
        .details(FLOWS_DETAILS)
        .refused(FLOWS_REFUSED)
}
