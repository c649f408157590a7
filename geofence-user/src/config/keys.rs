//! The keys of the configuration: the one table from which files are read and documentation is written.
//!
//! A key that is not in `KEYS` does not exist. Defaults are not here: they are what the shipped file says.

use std::num::NonZeroU32;

use geofence_common::action::Mode;
use geofence_common::maps::IMAGE_MIB_MAX;

use super::error::{Fault, Problem};
use super::value::Given;
use super::values;
use super::{Config, XdpMode, addresses, asn};
use crate::model::countries::Entry;
use crate::model::policy::{
    Action, CountryRule, CrossCheckRule, Lookup, Mail, Replies, SystemRule,
};
use crate::model::word::Word;

/// A key: what it is called, takes, means, and how it changes a configuration, or an entry of a table in one.
pub(super) struct Key<T: 'static = Config> {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// One line.
    pub(super) meaning: &'static str,
    /// What else an operator should know, in sentences.
    pub(super) details: &'static str,
    /// A line that could stand in a file.
    pub(super) example: &'static str,
    /// What is refused beyond a wrong type.
    pub(super) refused: &'static str,
    /// Reads a value of the kind into the configuration; what it refuses changes nothing.
    pub(super) set: fn(&mut T, &Given<'_>, &mut Vec<Fault>),
}

/// The type of a key's value.
pub(super) enum Kind {
    /// One of these words, each with its meaning.
    Word(fn() -> Vec<(&'static str, &'static str)>),
    /// A string of this form.
    Text(&'static str),
    /// A list of strings of this form.
    List(&'static str),
    /// A whole number.
    Number,
    /// True or false.
    Switch,
}

impl Kind {
    /// The type as people call it.
    pub(super) fn called(&self) -> String {
        match self {
            Self::Word(words) => {
                let words: Vec<_> = words().iter().map(|(word, _)| *word).collect();
                values::either(&words)
            }
            Self::Text(form) => format!("a string: {form}"),
            Self::List(form) => format!("a list of strings: {form}"),
            Self::Number => "an integer".to_owned(),
            Self::Switch => "true or false".to_owned(),
        }
    }
}

pub(super) fn words<T: Word>() -> Vec<(&'static str, &'static str)> {
    T::WORDS
        .iter()
        .map(|(word, _, meaning)| (*word, *meaning))
        .collect()
}

/// The largest slot: entries name a line with 31 bits, and nobody needs 4 GiB of prefixes.
const CAPACITY_MIB_MAX: i64 = IMAGE_MIB_MAX as i64;

/// The smallest table: below, the kernel's bookkeeping evicts what is in use.
const FLOWS_MIN: i64 = 1024;
/// The largest: two gigabytes of memory.
const FLOWS_MAX: i64 = 16 << 20;
/// The most that a bucket can tell from no bound at all.
const PRESSURE_MAX: i64 = 1_000_000;
const FLOWS_DETAILS: &str = "About 150 bytes each, reserved at the start. A full table forgets the flow that was used \
     least recently.";
const FLOWS_REFUSED: &str = "Less than 1024, and more than 16777216.";

const COUNTRIES: &str = "country codes and groups";
const PREFIXES: &str = "prefixes and addresses";
const COUNTRIES_REFUSED: &str = "What is neither an upper-case code nor a group, with the spelling that was probably \
     meant (`UK` suggests `GB`, `Russia` suggests `RU`); an entry given twice; both `block` and `allow-only`.";
const MEMBERS: &str = "prefixes, addresses and autonomous systems";
const MEMBERS_DETAILS: &str = "An address without a length is that address alone. `\"AS64500\"` is every prefix that \
     `asn-database` gives to that autonomous system, and `\"AS:Example Org\"` every prefix of the organisation of that \
     name.";
const MEMBERS_REFUSED: &str = "What is no prefix and no autonomous system; bits set behind the prefix's length; IPv4 \
     addresses in IPv6 form (`::ffff:192.0.2.1`); an entry given twice; an autonomous system without `asn-database`, \
     or of which that file has no network, with the nearest.";
const MANAGEMENT_REFUSED: &str = "What is no prefix; bits set behind the prefix's length; IPv4 addresses in IPv6 form; \
     a prefix given twice; `0.0.0.0/0` and `::/0`, with which nothing would be filtered.";

/// Every key, in the order of the documentation.
pub(super) static KEYS: [Key; 27] = [
    Key {
        name: "interfaces",
        kind: Kind::List("names of interfaces"),
        meaning: "The network interfaces to protect.",
        details: "Without any, `geofence run` needs `--interface`. The other commands do not look at them.",
        example: r#"interfaces = ["eth0", "eth1"]"#,
        refused: "What the kernel would not take as a name: empty, longer than 15 bytes, with blanks, `/` or `:`; a \
                  name given twice.",
        set: |config, given, faults| {
            if let Some(names) = given.many(faults, addresses::interface) {
                config.interfaces = names;
            }
        },
    },
    Key {
        name: "mode",
        kind: Kind::Word(words::<Mode>),
        meaning: "Whether drops are carried out or only counted.",
        details: "In either mode every packet is counted under the same reason.",
        example: r#"mode = "monitor""#,
        refused: "Other words, with the nearest.",
        set: |config, given, faults| {
            if let Some(mode) = given.one(faults, values::word) {
                config.policy.mode = mode;
            }
        },
    },
    Key {
        name: "xdp-mode",
        kind: Kind::Word(words::<XdpMode>),
        meaning: "Where on a packet's way the filter is attached.",
        details: "",
        example: r#"xdp-mode = "auto""#,
        refused: "Other words, with the nearest.",
        set: |config, given, faults| {
            if let Some(mode) = given.one(faults, values::word) {
                config.xdp_mode = mode;
            }
        },
    },
    Key {
        name: "lookup",
        kind: Kind::Word(words::<Lookup>),
        meaning: "The engine that finds an address's country and lists.",
        details: "Both give the same answers. The second is there to compare the first with.",
        example: r#"lookup = "lpm-trie""#,
        refused: "Other words, with the nearest.",
        set: |config, given, faults| {
            if let Some(lookup) = given.one(faults, values::word) {
                config.policy.lookup = lookup;
            }
        },
    },
    Key {
        name: "listen",
        kind: Kind::Text("an IP address and a port"),
        meaning: "Where /metrics and /healthz are answered.",
        details: "There is no authentication: an address that others can reach shows them the counters.",
        example: r#"listen = "[::1]:10317""#,
        refused: "Host names, and an address without a port.",
        set: |config, given, faults| {
            if let Some(listen) = given.one(faults, addresses::listen) {
                config.listen = listen;
            }
        },
    },
    Key {
        name: "databases",
        kind: Kind::List("paths of MMDB files"),
        meaning: "The GeoIP databases; with none, the embedded one is used.",
        details: "Several files are read together, for vendors who split the address families. A relative path \
                  starts at the directory of the configuration file.",
        example: r#"databases = ["/var/lib/geofence/country.mmdb"]"#,
        refused: "An empty path, a URL, and a path given twice. Whether a file is a database shows when it is read.",
        set: |config, given, faults| {
            if let Some(paths) = given.many(faults, values::database) {
                config.databases = paths;
            }
        },
    },
    Key {
        name: "second-opinion",
        kind: Kind::List("paths of MMDB files"),
        meaning: "Another GeoIP database, to be asked besides; empty for none.",
        details: "Of another vendor, because no database is right about everything. What becomes of an address that \
                  the two differ about, `agreement` says. Several files are read together, as with `databases`. \
                  [A second opinion](origins.md#a-second-opinion) has more.",
        example: r#"second-opinion = ["/var/lib/geofence/other.mmdb"]"#,
        refused: "As for `databases`.",
        set: |config, given, faults| {
            if let Some(paths) = given.many(faults, values::database) {
                config.cross_check_databases = paths;
            }
        },
    },
    Key {
        name: "agreement",
        kind: Kind::Word(words::<CrossCheckRule>),
        meaning: "Whose word it takes that an address is blocked, with a `second-opinion`.",
        details: "An address counts as of the country that decided. Of an address that the second database does not \
                  know, the first decides alone.",
        example: r#"agreement = "all""#,
        refused: "Other words, with the nearest.",
        set: |config, given, faults| {
            if let Some(agreement) = given.one(faults, values::word) {
                config.policy.cross_check = agreement;
            }
        },
    },
    Key {
        name: "asn-database",
        kind: Kind::Text("the path of an MMDB file"),
        meaning: "The database of autonomous systems, for rules that name some; empty for none.",
        details: "GeoLite2-ASN, DB-IP ASN Lite, IPinfo Lite and their like: a file is read by what its records hold. A \
                  relative path starts at the directory of the configuration file. \
                  [Autonomous systems](origins.md#autonomous-systems) has more.",
        example: r#"asn-database = "/var/lib/geofence/asn.mmdb""#,
        refused: "A URL. Whether the file is such a database shows when it is read.",
        set: |config, given, faults| {
            if let Some(path) = given.one(faults, values::optional_database) {
                config.asn_database = path;
            }
        },
    },
    Key {
        name: "capacity-mib",
        kind: Kind::Number,
        meaning: "The size of each of the two slots for policy images, in MiB; 0 is automatic.",
        details: "Automatic is twice the size of the first image, at least 16 MiB and at most 511. The size is fixed \
                  while the filter runs; an image that does not fit is refused and the one in place stays.",
        example: "capacity-mib = 64",
        refused: "Negative numbers, and more than 511, which is as far as the kernel lets a program reach.",
        set: |config, given, faults| {
            let Given::Number(mib, span) = given else {
                return;
            };
            match u64::try_from(*mib) {
                Ok(0) => config.image_capacity = None,
                Ok(size) if *mib <= CAPACITY_MIB_MAX => config.image_capacity = Some(size << 20),
                _ => faults.push(
                    Problem::new(
                        "this is no size for an image slot",
                        format!("expected 0 to {CAPACITY_MIB_MAX}"),
                        "write 0 for automatic, or the MiB to reserve, such as capacity-mib = 64",
                    )
                    .at(span.clone()),
                ),
            }
        },
    },
    Key {
        name: "instance",
        kind: Kind::Text("letters, digits, `-` and `_`"),
        meaning: "The name of this geofence, where a machine runs several.",
        details: "Links and tables are pinned in `/sys/fs/bpf/geofence/NAME`, the last good image is kept in \
                  `/var/lib/NAME`, and the control socket is `/run/NAME/control.sock`. `geofence reload`, `status` \
                  and `detach` take the name with `--instance`.",
        example: r#"instance = "geofence-lan""#,
        refused: "Other characters, an empty name, and more than 48 bytes.",
        set: |config, given, faults| {
            if let Some(instance) = given.one(faults, values::instance) {
                config.instance = instance;
            }
        },
    },
    Key {
        name: "block",
        kind: Kind::List(COUNTRIES),
        meaning: "The countries whose packets are dropped.",
        details: "Either this or `allow-only`. `block = []` blocks no country.",
        example: r#"block = ["RU", "BY", "south-america"]"#,
        refused: COUNTRIES_REFUSED,
        set: |config, given, faults| {
            if let Some(entries) = given.many(faults, values::entry) {
                config.policy.rule = CountryRule::Block(Entry::expand(&entries));
            }
        },
    },
    Key {
        name: "allow-only",
        kind: Kind::List(COUNTRIES),
        meaning: "The only countries whose packets are not dropped.",
        details: "The inverse of `block`: every other country is blocked. Addresses without a known country follow \
                  `unknown`.",
        example: r#"allow-only = ["EU", "CH", "NO"]"#,
        refused: "An empty list, which would block the world. As for `block`: what is neither an upper-case code nor \
                  a group; an entry given twice; both `block` and `allow-only`.",
        set: |config, given, faults| {
            let Some(entries) = given.many(faults, values::entry) else {
                return;
            };
            if entries.is_empty() {
                let Given::List(_, span) = given else { return };
                faults.push(
                    Problem::new(
                        "`allow-only` allows no country, which would block the whole world",
                        "the list is empty",
                        "list the countries to allow, or remove the line; block = [] blocks no country",
                    )
                    .at(span.clone()),
                );
            } else {
                config.policy.rule = CountryRule::AllowOnly(Entry::expand(&entries));
            }
        },
    },
    Key {
        name: "unknown",
        kind: Kind::Word(words::<Action>),
        meaning: "What happens to packets from addresses that no database knows.",
        details: "",
        example: r#"unknown = "drop""#,
        refused: "Other words, with the nearest.",
        set: |config, given, faults| {
            if let Some(fate) = given.one(faults, values::word) {
                config.policy.unknown = fate;
            }
        },
    },
    Key {
        name: "special-use",
        kind: Kind::Word(words::<Action>),
        meaning: "What happens to packets from special-use addresses (RFC 6890).",
        details: "Private, shared, link-local, documentation space and the like belong to no country, whatever a \
                  database says. Dropping them is for interfaces that face the internet alone.",
        example: r#"special-use = "drop""#,
        refused: "Other words, with the nearest.",
        set: |config, given, faults| {
            if let Some(fate) = given.one(faults, values::word) {
                config.policy.special_use = fate;
            }
        },
    },
    Key {
        name: "mail",
        kind: Kind::Word(words::<Mail>),
        meaning: "Which TCP ports of mail stay open to blocked countries.",
        details: "UDP or SCTP to the same ports is not mail.",
        example: r#"mail = "mta""#,
        refused: "Other words, with the nearest.",
        set: |config, given, faults| {
            if let Some(mail) = given.one(faults, values::word) {
                config.policy.mail = mail;
            }
        },
    },
    Key {
        name: "replies",
        kind: Kind::Word(words::<Replies>),
        meaning: "To which packets of ours a blocked country may reply.",
        details: "A reply passes when it belongs to exactly the flow that our side opened, for as long as that flow \
                  lives: two hours after our last packet of a TCP connection, four minutes while it opens or closes, \
                  a minute for DNS. ICMP errors about such flows, and about exempted services, pass from routers of \
                  any country. Name the outer interfaces only in `interfaces`: what comes in by one of them and is \
                  forwarded opens nothing.",
        example: r#"replies = "all""#,
        refused: "Other words, with the nearest.",
        set: |config, given, faults| {
            if let Some(replies) = given.one(faults, values::word) {
                config.policy.replies = replies;
            }
        },
    },
    Key {
        name: "mta-sts",
        kind: Kind::Switch,
        meaning: "Whether a blocked country may also reply to HTTPS, from which mail servers fetch MTA-STS policies.",
        details: "With `replies = \"mail\"`, TCP to port 443 counts as mail that our side sends (RFC 8461).",
        example: "mta-sts = true",
        refused: "What is neither true nor false.",
        set: |config, given, _| {
            if let Given::Switch(on) = given {
                config.policy.mta_sts = *on;
            }
        },
    },
    Key {
        name: "mail-flows",
        kind: Kind::Number,
        meaning: "How many mail flows to blocked countries are remembered.",
        details: FLOWS_DETAILS,
        example: "mail-flows = 65536",
        refused: FLOWS_REFUSED,
        set: |config, given, faults| flows(&mut config.flows.mail, given, faults),
    },
    Key {
        name: "dns-flows",
        kind: Kind::Number,
        meaning: "How many DNS flows to blocked countries are remembered.",
        details: FLOWS_DETAILS,
        example: "dns-flows = 262144",
        refused: FLOWS_REFUSED,
        set: |config, given, faults| flows(&mut config.flows.dns, given, faults),
    },
    Key {
        name: "other-flows",
        kind: Kind::Number,
        meaning: "How many other flows to blocked countries are remembered, with `replies = \"all\"`.",
        details: FLOWS_DETAILS,
        example: "other-flows = 1000000",
        refused: FLOWS_REFUSED,
        set: |config, given, faults| flows(&mut config.flows.other, given, faults),
    },
    Key {
        name: "services",
        kind: Kind::List("services"),
        meaning: "Further ports that stay open to blocked countries.",
        details: "A service is a protocol, `tcp` or `udp`, and a port or a range of ports.",
        example: r#"services = ["tcp/443", "udp/51820", "tcp/9000-9010"]"#,
        refused: "Other protocols, with the nearest; port 0 and ports above 65535; a range that ends before it \
                  begins; a service given twice.",
        set: |config, given, faults| {
            if let Some(services) = given.many(faults, values::service) {
                config.policy.services = services;
            }
        },
    },
    Key {
        name: "icmp-echo",
        kind: Kind::Word(words::<Action>),
        meaning: "What happens to echo requests (ping) from blocked countries.",
        details: "",
        example: r#"icmp-echo = "pass""#,
        refused: "Other words, with the nearest.",
        set: |config, given, faults| {
            if let Some(fate) = given.one(faults, values::word) {
                config.policy.icmp_echo = fate;
            }
        },
    },
    Key {
        name: "pressure",
        kind: Kind::Number,
        meaning: "How many packets a second one source of a blocked country may send to exempted services; 0 is any \
                  number.",
        details: "A source is an IPv4 address, or the first 64 bits of an IPv6 address. Two seconds' worth may come at \
                  once. It bounds what a flood through an open mail port can do; mail itself needs some tens of \
                  packets a second.",
        example: "pressure = 200",
        refused: "Negative numbers, and more than 1000000.",
        set: |config, given, faults| {
            let Given::Number(rate, span) = given else {
                return;
            };
            match u32::try_from(*rate) {
                Ok(packets) if *rate <= PRESSURE_MAX => {
                    config.policy.rate_limit = NonZeroU32::new(packets);
                }
                _ => faults.push(
                    Problem::new(
                        "this is no number of packets a second",
                        format!("expected 0 to {PRESSURE_MAX}"),
                        "write 0 for any number, or a bound such as pressure = 200",
                    )
                    .at(span.clone()),
                ),
            }
        },
    },
    Key {
        name: "management",
        kind: Kind::List(PREFIXES),
        meaning: "Where the machine is managed from: these sources pass before anything can drop them.",
        details: "List the addresses you log in from before you enforce a policy that might block them.",
        example: r#"management = ["198.51.100.7", "2001:db8:17::/48"]"#,
        refused: MANAGEMENT_REFUSED,
        set: |config, given, faults| {
            if let Some(prefixes) = given.many(faults, addresses::management) {
                config.policy.management = prefixes;
            }
        },
    },
    Key {
        name: "allow",
        kind: Kind::List(MEMBERS),
        meaning: "Sources that pass whatever their country, and even if `deny` lists them too.",
        details: MEMBERS_DETAILS,
        example: r#"allow = ["203.0.113.0/24"]"#,
        refused: MEMBERS_REFUSED,
        set: |config, given, faults| {
            if let Some(prefixes) = asn::members(config, given, &SystemRule::Allow, faults) {
                config.policy.allow = prefixes;
            }
        },
    },
    Key {
        name: "deny",
        kind: Kind::List(MEMBERS),
        meaning: "Sources that are dropped whatever their country, mail included.",
        details: MEMBERS_DETAILS,
        example: r#"deny = ["192.0.2.66", "2001:db8:bad::/48"]"#,
        refused: MEMBERS_REFUSED,
        set: |config, given, faults| {
            if let Some(prefixes) = asn::members(config, given, &SystemRule::Deny, faults) {
                config.policy.deny = prefixes;
            }
        },
    },
];

/// The key of this name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

fn flows(capacity: &mut u32, given: &Given<'_>, faults: &mut Vec<Fault>) {
    let Given::Number(number, span) = given else {
        return;
    };
    match u32::try_from(*number) {
        Ok(flows) if (FLOWS_MIN..=FLOWS_MAX).contains(number) => *capacity = flows,
        _ => faults.push(
            Problem::new(
                "this is no size for a table of flows",
                format!("expected {FLOWS_MIN} to {FLOWS_MAX}"),
                "write how many flows may be open at once, such as 65536",
            )
            .at(span.clone()),
        ),
    }
}
