//! The keys of `[[exception]]`, wherever one stands, and of `[[protect]]`.

use std::sync::Arc;

use geofence_common::image::exceptions::SLOTS_MAX;

use super::asn;
use super::error::{Fault, Problem};
use super::keys::{Key, Kind};
use super::runtime_exceptions::{Grant, Granted};
use super::tables::{Places, Table};
use super::targets::{self, Placed};
use super::value::Given;
use super::{Config, Mention, addresses, values};
use crate::model::policy::{Destination, Exception, Protection, SystemRule, Traffic};

/// An exception as far as it has been read.
pub(super) struct Draft {
    exception: Exception,
    from: Vec<Placed>,
    to: Vec<Placed>,
    services: Vec<Placed>,
    until: Option<String>,
}

const NAME_REFUSED: &str = "More than 64 bytes, other characters than letters, digits, `.`, `_` and `-`, a first \
     character that is no letter or digit, and a name given twice.";

/// Exceptions of the configuration.
pub(super) static EXCEPTION: Table<Draft> = exceptions(finish);
/// Exceptions that were granted by command, which are kept in the same words.
pub(super) static GRANTED: Table<Draft> = exceptions(finish_granted);

const fn exceptions(finish: fn(&mut Config, Draft, &Places, &mut Vec<Fault>)) -> Table<Draft> {
    Table {
        name: "exception",
        meaning: "Somebody who may reach something although a country or a list says no.",
        details: "There may be any number, each in an `[[exception]]` of its own at the end of the file. An exception \
                  passes before every list, country and service, and opens no more than it names: this source, this \
                  destination, this traffic. [Tenants and exceptions](exceptions.md) has the order of all rules.",
        keys: &EXCEPTION_KEYS,
        required: &["id", "from", "to", "owner", "reason"],
        blank: || Draft {
            exception: Exception {
                id: String::new(),
                slot: 0,
                from: Vec::new(),
                to: Vec::new(),
                traffic: vec![Traffic::Any],
                owner: String::new(),
                reason: String::new(),
                until: None,
            },
            from: Vec::new(),
            to: Vec::new(),
            services: Vec::new(),
            until: None,
        },
        default: |key| match key {
            "services" => "all traffic, protected ports aside",
            "until" => "none: it stays until it is removed",
            _ => "none; must be given",
        },
        finish,
    }
}

static EXCEPTION_KEYS: [Key<Draft>; 7] = [
    Key {
        name: "id",
        kind: Kind::Text("a name"),
        meaning: "What the exception is called in metrics, commands and explanations.",
        details: "",
        example: r#"id = "ticket-4711""#,
        refused: NAME_REFUSED,
        set: |draft, given, faults| {
            if let Some(id) = given.one(faults, targets::name) {
                draft.exception.id = id;
            }
        },
    },
    Key {
        name: "from",
        kind: Kind::List("prefixes, addresses, country codes, groups and autonomous systems"),
        meaning: "Who is excepted.",
        details: "Autonomous systems are written as in `allow`.",
        example: r#"from = ["198.51.100.0/24", "KZ"]"#,
        refused: "What is no prefix, no country and no autonomous system; an empty list.",
        set: |draft, given, _| draft.from = targets::placed(given),
    },
    Key {
        name: "to",
        kind: Kind::List("tenants, prefixes and addresses, or \"any\""),
        meaning: "What they may reach.",
        details: "`\"any\"` is everything behind the filter. A tenant's name means the tenant's networks but those \
                  that a longer prefix gives to another tenant.",
        example: r#"to = ["customer-17"]"#,
        refused: "A tenant that there is not, with the nearest; an empty list.",
        set: |draft, given, _| draft.to = targets::placed(given),
    },
    Key {
        name: "services",
        kind: Kind::List("protocols and services"),
        meaning: "The traffic that is excepted.",
        details: "A protocol (`tcp`, `udp`, `icmp`, `esp`, `gre`, `sctp`), or `tcp` or `udp` with a port or a range of \
                  ports. A protected port opens only to an exception that names the port.",
        example: r#"services = ["tcp/443", "tcp/9000-9010"]"#,
        refused: "As for `services` above; an empty list.",
        set: |draft, given, faults| {
            draft.services = targets::placed(given);
            if let Some(traffic) = given.many(faults, targets::traffic) {
                draft.exception.traffic = traffic;
            }
        },
    },
    Key {
        name: "owner",
        kind: Kind::Text("some words"),
        meaning: "Who answers for the exception.",
        details: "",
        example: r#"owner = "support, A. Berg""#,
        refused: "An empty text, and line breaks.",
        set: |draft, given, faults| {
            if let Some(owner) = given.one(faults, targets::words) {
                draft.exception.owner = owner;
            }
        },
    },
    Key {
        name: "reason",
        kind: Kind::Text("some words"),
        meaning: "Why there is one.",
        details: "",
        example: r#"reason = "branch in Almaty, until its own uplink works""#,
        refused: "An empty text, and line breaks.",
        set: |draft, given, faults| {
            if let Some(reason) = given.one(faults, targets::words) {
                draft.exception.reason = reason;
            }
        },
    },
    Key {
        name: "until",
        kind: Kind::Text("a day, or a time with its zone"),
        meaning: "When the exception lapses.",
        details: "A day means its end, UTC. The kernel holds it to that by its own clock since boot, so that it lapses \
                  with the daemon dead and whatever becomes of the wall clock.",
        example: r#"until = "2027-03-31""#,
        refused: "What is neither, and a time without a zone.",
        set: |draft, given, faults| {
            draft.exception.until = given.one(faults, targets::expiry);
            if let Given::Text(spelled) = given {
                draft.until = Some(spelled.text.to_string());
            }
        },
    },
];

fn finish(config: &mut Config, draft: Draft, places: &Places, faults: &mut Vec<Fault>) {
    let Draft {
        mut exception,
        from,
        to,
        ..
    } = draft;
    let before = faults.len();
    let (origins, systems) = targets::origins(&from, faults);
    exception.from = origins;
    exception.to = targets::aims(config, &to, true, faults);
    if faults.len() > before {
        return;
    }
    let empty = [
        ("from", exception.from.is_empty() && systems.is_empty()),
        ("to", exception.to.is_empty()),
        ("services", exception.traffic.is_empty()),
    ];
    for (key, _) in empty.into_iter().filter(|(_, is_empty)| *is_empty) {
        faults.push(excepts_nothing(key).at(places.keys.get(key).unwrap_or(&places.entry).clone()));
    }
    if let Some(slot) = slot(config, places, faults)
        && faults.len() == before
    {
        exception.slot = slot;
        let mentions = systems.into_iter().map(|(named, span)| {
            Mention::new(named, SystemRule::Exception(exception.id.clone()), span)
        });
        config.systems.extend(mentions);
        config.policy.exceptions.push(Arc::new(exception));
    }
}

/// As `finish`, but what the configuration has meanwhile taken from under it makes the exception idle, not an error:
/// who changes the configuration did not grant it, and the filter has to start.
fn finish_granted(config: &mut Config, mut draft: Draft, places: &Places, faults: &mut Vec<Fault>) {
    let texts = |list: &[Placed]| list.iter().map(|(text, _)| text.clone()).collect();
    let grant = Grant {
        id: draft.exception.id.clone(),
        from: texts(&draft.from),
        to: texts(&draft.to),
        services: texts(&draft.services),
        owner: draft.exception.owner.clone(),
        reason: draft.exception.reason.clone(),
        until: draft.until.clone(),
    };
    let missing = draft
        .to
        .extract_if(.., |(text, _)| targets::is_absent_tenant(config, text));
    let mut systems = Vec::new();
    if config.asn_database.is_none() {
        let named = draft.from.extract_if(.., |(text, _)| asn::is_system(text));
        systems.extend(named.map(|(text, _)| text));
    }
    let granted = Granted {
        systems,
        unknown: Vec::new(),
        missing: missing.map(|(text, _)| text).collect(),
        is_shadowed: config.own_names.contains(&grant.id),
        grant,
    };
    if granted.is_idle() {
        targets::origins(&draft.from, faults);
    } else {
        finish(config, draft, places, faults);
    }
    config.granted.push(Arc::new(granted));
}

fn excepts_nothing(key: &str) -> Problem {
    let help = if key == "services" {
        "leave the line out for all traffic, or name some"
    } else {
        "name at least one"
    };
    Problem::new("the exception excepts nothing", "the list is empty", help)
}

/// The next free counter.
fn slot(config: &Config, places: &Places, faults: &mut Vec<Fault>) -> Option<u32> {
    let policy = &config.policy;
    let used = policy.exceptions.len() + policy.protections.len();
    let slot = u32::try_from(used).ok().filter(|slot| *slot < SLOTS_MAX);
    if slot.is_none() {
        faults.push(
            Problem::new(
                format!("there are more than {SLOTS_MAX} exceptions and protections"),
                "one more",
                "remove some; countries and tenants say much in one",
            )
            .at(places.entry.clone()),
        );
    }
    slot
}

/// A protection as far as it has been read.
pub(super) struct ProtectDraft {
    protection: Protection,
    to: Option<Vec<Placed>>,
}

pub(super) static PROTECT: Table<ProtectDraft> = Table {
    name: "protect",
    meaning: "Ports that only named sources may reach, whatever anybody's country: remote desktops, file shares.",
    details: "There may be any number, each in a `[[protect]]` of its own at the end of the file. Management prefixes \
              reach a protected port as well, and an exception that names the port; nobody else does, `allow` and \
              services notwithstanding. A packet that hides which port it is for counts as one for a protected port. \
              Protect ports that are served, not ports that our side sends from: answers to those are dropped too.",
    keys: &PROTECT_KEYS,
    required: &["id", "services", "from"],
    blank: || ProtectDraft {
        protection: Protection {
            id: String::new(),
            slot: 0,
            services: Vec::new(),
            from: Vec::new(),
            to: vec![Destination::Anywhere],
        },
        to: None,
    },
    default: |key| match key {
        "to" => "`[\"any\"]`",
        _ => "none; must be given",
    },
    finish: finish_protect,
};

static PROTECT_KEYS: [Key<ProtectDraft>; 4] = [
    Key {
        name: "id",
        kind: Kind::Text("a name"),
        meaning: "What the protection is called in metrics and explanations.",
        details: "",
        example: r#"id = "remote-desktops""#,
        refused: NAME_REFUSED,
        set: |draft, given, faults| {
            if let Some(id) = given.one(faults, targets::name) {
                draft.protection.id = id;
            }
        },
    },
    Key {
        name: "services",
        kind: Kind::List("services"),
        meaning: "The ports.",
        details: "",
        example: r#"services = ["tcp/3389", "udp/3389", "tcp/445"]"#,
        refused: "As for `services` above; an empty list.",
        set: |draft, given, faults| {
            if let Some(services) = given.many(faults, values::service) {
                draft.protection.services = services;
            }
        },
    },
    Key {
        name: "from",
        kind: Kind::List("prefixes and addresses"),
        meaning: "Who may reach them: the VPN's prefixes.",
        details: "An empty list leaves the ports to management prefixes.",
        example: r#"from = ["198.51.100.0/24"]"#,
        refused: "As for `management`, but for whole families.",
        set: |draft, given, faults| {
            if let Some(from) = given.many(faults, addresses::prefix) {
                draft.protection.from = from;
            }
        },
    },
    Key {
        name: "to",
        kind: Kind::List("tenants, or \"any\""),
        meaning: "Whose ports they are.",
        details: "",
        example: r#"to = ["customer-17"]"#,
        refused: "A tenant that there is not, with the nearest; a prefix; an empty list.",
        set: |draft, given, _| draft.to = Some(targets::placed(given)),
    },
];

fn finish_protect(
    config: &mut Config,
    draft: ProtectDraft,
    places: &Places,
    faults: &mut Vec<Fault>,
) {
    let ProtectDraft { mut protection, to } = draft;
    let before = faults.len();
    if let Some(to) = to {
        protection.to = targets::aims(config, &to, false, faults);
    }
    if faults.len() > before {
        return;
    }
    let empty = [
        ("services", protection.services.is_empty()),
        ("to", protection.to.is_empty()),
    ];
    for (key, _) in empty.into_iter().filter(|(_, is_empty)| *is_empty) {
        faults.push(
            Problem::new(
                "the protection protects nothing",
                "the list is empty",
                "name at least one",
            )
            .at(places.keys.get(key).unwrap_or(&places.entry).clone()),
        );
    }
    if let Some(slot) = slot(config, places, faults)
        && faults.len() == before
    {
        protection.slot = slot;
        config.policy.protections.push(protection);
    }
}
