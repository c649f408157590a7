//! The keys of `[[tenant]]`.

use std::ops::Range;

use geofence_common::action::Mode;
use geofence_common::image::destination::TENANTS_MAX;
use ipnet::IpNet;

use super::error::{Fault, Problem};
use super::keys::{Key, Kind, words};
use super::tables::{Places, Table};
use super::{Config, addresses, targets, values};
use crate::model::countries::Entry;
use crate::model::policy::{Action, CountryRule, Mail, Tenant};

/// An entry as far as it has been read.
pub(super) struct Draft {
    tenant: Tenant,
    /// Its prefixes with their places.
    prefixes: Vec<(IpNet, Range<usize>)>,
}

pub(super) static TENANT: Table<Draft> = Table {
    name: "tenant",
    meaning: "Networks with settings of their own: a customer's, say.",
    details: "There may be up to 1024, each in a `[[tenant]]` of its own at the end of the file. Packets are a \
              tenant's by their destination; of two tenants whose prefixes hold it, the one with the longer prefix \
              has it. A key that is left out is for the tenant as it is for everybody. Counters carry the tenant's \
              name. [Tenants and exceptions](exceptions.md) says more.",
    keys: &KEYS,
    required: &["name", "prefixes"],
    blank: || Draft {
        tenant: Tenant {
            name: String::new(),
            number: 0,
            prefixes: Vec::new(),
            rule: None,
            unknown: None,
            special_use: None,
            mode: None,
            mail: None,
            services: None,
            icmp_echo: None,
        },
        prefixes: Vec::new(),
    },
    default: |key| match key {
        "name" | "prefixes" => "none; must be given",
        _ => "as for everybody",
    },
    finish,
};

const WORDS_REFUSED: &str = "Other words, with the nearest.";

static KEYS: [Key<Draft>; 10] = [
    Key {
        name: "name",
        kind: Kind::Text("a name"),
        meaning: "What the tenant is called in metrics, exceptions and explanations.",
        details: "",
        example: r#"name = "customer-17""#,
        refused: "More than 64 bytes, other characters than letters, digits, `.`, `_` and `-`, a first character that \
                  is no letter or digit, `any`, an address, and a name given twice.",
        set: |draft, given, faults| {
            if let Some(name) = given.one(faults, targets::name) {
                draft.tenant.name = name;
            }
        },
    },
    Key {
        name: "prefixes",
        kind: Kind::List("prefixes and addresses"),
        meaning: "The tenant's networks.",
        details: "",
        example: r#"prefixes = ["203.0.113.0/24", "2001:db8:17::/48"]"#,
        refused: "As for `allow`; an empty list; a prefix of another tenant.",
        set: |draft, given, faults| {
            if let Some(prefixes) = given.many(faults, addresses::prefix) {
                let places = targets::placed(given).into_iter().map(|(_, span)| span);
                draft.prefixes = prefixes.into_iter().zip(places).collect();
            }
        },
    },
    Key {
        name: "block",
        kind: Kind::List("country codes and groups"),
        meaning: "The countries whose packets to the tenant are dropped.",
        details: "In place of everybody's `block` or `allow-only`, not in addition.",
        example: r#"block = ["RU", "BY"]"#,
        refused: "As for `block` above.",
        set: |draft, given, faults| {
            if let Some(entries) = given.many(faults, values::entry) {
                draft.tenant.rule = Some(CountryRule::Block(Entry::expand(&entries)));
            }
        },
    },
    Key {
        name: "allow-only",
        kind: Kind::List("country codes and groups"),
        meaning: "The only countries whose packets to the tenant are not dropped.",
        details: "In place of everybody's `block` or `allow-only`.",
        example: r#"# allow-only = ["EU"]"#,
        refused: "As for `allow-only` above; both `block` and `allow-only`.",
        set: |draft, given, faults| {
            if let Some(entries) = given.many(faults, values::entry) {
                draft.tenant.rule = Some(CountryRule::AllowOnly(Entry::expand(&entries)));
            }
        },
    },
    Key {
        name: "unknown",
        kind: Kind::Word(words::<Action>),
        meaning: "What happens to packets to the tenant from addresses that no database knows.",
        details: "",
        example: r#"unknown = "drop""#,
        refused: WORDS_REFUSED,
        set: |draft, given, faults| {
            if let Some(fate) = given.one(faults, values::word) {
                draft.tenant.unknown = Some(fate);
            }
        },
    },
    Key {
        name: "special-use",
        kind: Kind::Word(words::<Action>),
        meaning: "What happens to packets to the tenant from special-use addresses.",
        details: "",
        example: r#"special-use = "drop""#,
        refused: WORDS_REFUSED,
        set: |draft, given, faults| {
            if let Some(fate) = given.one(faults, values::word) {
                draft.tenant.special_use = Some(fate);
            }
        },
    },
    Key {
        name: "mode",
        kind: Kind::Word(words::<Mode>),
        meaning: "Whether drops of packets to the tenant are carried out or only counted.",
        details: "A frame whose destination cannot be read is nobody's.",
        example: r#"mode = "monitor""#,
        refused: WORDS_REFUSED,
        set: |draft, given, faults| {
            if let Some(mode) = given.one(faults, values::word) {
                draft.tenant.mode = Some(mode);
            }
        },
    },
    Key {
        name: "mail",
        kind: Kind::Word(words::<Mail>),
        meaning: "Which TCP ports of mail stay open to countries that are blocked for the tenant.",
        details: "",
        example: r#"mail = "off""#,
        refused: WORDS_REFUSED,
        set: |draft, given, faults| {
            if let Some(mail) = given.one(faults, values::word) {
                draft.tenant.mail = Some(mail);
            }
        },
    },
    Key {
        name: "services",
        kind: Kind::List("services"),
        meaning: "The tenant's further ports that stay open to countries that are blocked for it.",
        details: "In place of everybody's, not in addition.",
        example: r#"services = ["tcp/443"]"#,
        refused: "As for `services` above.",
        set: |draft, given, faults| {
            if let Some(services) = given.many(faults, values::service) {
                draft.tenant.services = Some(services);
            }
        },
    },
    Key {
        name: "icmp-echo",
        kind: Kind::Word(words::<Action>),
        meaning: "What happens to echo requests to the tenant from countries that are blocked for it.",
        details: "",
        example: r#"icmp-echo = "pass""#,
        refused: WORDS_REFUSED,
        set: |draft, given, faults| {
            if let Some(fate) = given.one(faults, values::word) {
                draft.tenant.icmp_echo = Some(fate);
            }
        },
    },
];

fn finish(config: &mut Config, draft: Draft, places: &Places, faults: &mut Vec<Fault>) {
    let place = |key: &str| places.keys.get(key).unwrap_or(&places.entry).clone();
    let Draft {
        mut tenant,
        prefixes,
    } = draft;
    let before = faults.len();
    if prefixes.is_empty() {
        faults.push(
            Problem::new(
                "the tenant has no networks",
                "the list is empty",
                "list the tenant's prefixes, or remove the tenant",
            )
            .at(place("prefixes")),
        );
    }
    if places.keys.contains_key("block") && places.keys.contains_key("allow-only") {
        faults.push(
            Problem::new(
                "`block` and `allow-only` are both set",
                "the other",
                "keep `block` to block the countries listed, or `allow-only` to block all but those listed",
            )
            .at(place("allow-only"))
            .and(place("block"), "one of the two"),
        );
    }
    if tenant.rule == Some(CountryRule::AllowOnly(Default::default())) {
        faults.push(
            Problem::new(
                "`allow-only` allows no country, which would block the whole world",
                "the list is empty",
                "list the countries to allow, or remove the line; block = [] blocks no country",
            )
            .at(place("allow-only")),
        );
    }
    let tenants = &config.policy.tenants;
    for (net, span) in &prefixes {
        if let Some(other) = tenants.iter().find(|other| other.prefixes.contains(net)) {
            faults.push(targets::twice(net, &other.name).at(span.clone()));
        }
    }
    if tenants.len() >= TENANTS_MAX as usize {
        faults.push(
            Problem::new(
                format!("there are more than {TENANTS_MAX} tenants"),
                "one more",
                "join tenants that have the same settings",
            )
            .at(places.entry.clone()),
        );
    }
    if faults.len() == before {
        tenant.prefixes = prefixes.into_iter().map(|(net, _)| net).collect();
        tenant.number = tenants.len() as u32 + 1;
        config.policy.tenants.push(tenant);
    }
}
