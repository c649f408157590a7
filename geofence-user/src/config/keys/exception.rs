//! The keys of `[[exception]]`, in a configuration and in the file of runtime exceptions.

use std::ops::Range;
use std::sync::Arc;

use geofence_common::image::exceptions::SLOTS_MAX;

use crate::config::asn::{self, AsMention};
use crate::config::configuration::Config;
use crate::config::error::{Fault, Problem};
use crate::config::exception_spec::{DROP, ExceptionSpec, RuntimeException};
use crate::config::key::Key;
use crate::config::key_doc::Kind;
use crate::config::table::{Places, Table};
use crate::config::targets;
use crate::config::value::{Spanned, Value};
use crate::model::policy::{Action, AsRule, Destination, Exception, Origin, Traffic};

/// An entry that is being read: what needs no other entry is in `exception` already.
#[derive(Default)]
pub(in crate::config) struct Draft {
    exception: Exception,
    from: Vec<Spanned<'static>>,
    to: Vec<Spanned<'static>>,
    services: Vec<Spanned<'static>>,
    action: Option<Action>,
    until: Option<String>,
}

type K = Key<Draft>;

pub(super) const NAME_REFUSED: &str = "More than 64 bytes, other characters than letters, digits, `.`, `_` and `-`, a \
     first character that is no letter or digit, and a name given twice.";

/// The table, whose entries go through this function.
pub(in crate::config) fn table(
    finish: fn(&mut Config, Draft, &Places, &mut Vec<Fault>),
) -> Table<Draft> {
    Table {
        name: "exception",
        meaning: "A source that may reach something although a country rule or a list blocks it.",
        details: "There may be any number, each in an `[[exception]]` of its own at the end of the file. An exception \
                  comes before every list, country and service, and opens no more than it names: this source, this \
                  destination, this traffic. [Tenants and exceptions](exceptions.md) has the order of all rules.",
        keys: vec![
            K::text("id", "a name", targets::name, |draft| &mut draft.exception.id)
                .required()
                .meaning("The name of the exception in metrics, commands and explanations.")
                .example(r#"id = "ticket-4711""#)
                .refused(NAME_REFUSED),
            K::spanned_list(
                "from",
                "prefixes, addresses, country codes, groups and autonomous systems",
                |draft| &mut draft.from,
            )
            .required()
            .meaning("The sources.")
            .details("Autonomous systems are written as in `allow`.")
            .example(r#"from = ["198.51.100.0/24", "KZ"]"#)
            .refused("Anything but prefixes, countries and autonomous systems; an empty list."),
            K::spanned_list("to", "tenants, prefixes and addresses, or \"any\"", |draft| &mut draft.to)
                .required()
                .meaning("The destinations they may reach.")
                .details(
                    "`\"any\"` is everything behind the filter. A tenant's name means the tenant's networks, except \
                     those that a longer prefix gives to another tenant.",
                )
                .example(r#"to = ["customer-17"]"#)
                .refused("A tenant that does not exist, with the nearest; an empty list."),
            K::new("services", Kind::List("protocols and services"), |draft, value, faults| {
                draft.services = value.texts();
                if let Some(traffic) = value.many(faults, targets::traffic) {
                    draft.exception.traffic = traffic;
                }
            })
            .default("all traffic, except protected ports")
            .meaning("The traffic that passes.")
            .details(
                "A protocol (`tcp`, `udp`, `icmp`, `esp`, `gre`, `sctp`), or `tcp` or `udp` with a port or a range of \
                 ports. A protected port opens only to an exception that names the port.",
            )
            .example(r#"services = ["tcp/443", "tcp/9000-9010"]"#)
            .refused("As for `services` above; an empty list."),
            K::word::<Action, _>("action", |draft| &mut draft.action)
                .meaning("What happens to the packets.")
                .details(
                    "With `drop` the entry is a ban, such as `geofence ban` makes: all packets of the sources are \
                     dropped, whatever exceptions and `allow` say; only `management` comes before. A ban names \
                     prefixes and autonomous systems, goes to `\"any\"`, and has no `services`.",
                )
                .default(r#""pass""#)
                .example(r#"action = "pass""#),
            K::text("owner", "some words", targets::words, |draft| &mut draft.exception.owner)
                .required()
                .meaning("The person or team responsible for the exception.")
                .example(r#"owner = "support, A. Berg""#)
                .refused("An empty text, and line breaks."),
            K::text("reason", "some words", targets::words, |draft| &mut draft.exception.reason)
                .required()
                .meaning("Why the exception exists.")
                .example(r#"reason = "branch in Almaty, until its own uplink works""#)
                .refused("An empty text, and line breaks."),
            K::new("until", Kind::Text("a day, or a time with its zone"), |draft, value, faults| {
                draft.exception.until = value.one(faults, targets::expiry);
                if let Value::Text(spanned) = value {
                    draft.until = Some(spanned.text.to_string());
                }
            })
            .default("none: it stays until it is removed")
            .meaning("When the exception expires.")
            .details(
                "A day means its end, UTC. The kernel enforces the time by its own clock since boot, so an exception \
                 expires even if the daemon is dead. If the wall clock is set, the daemon converts the time anew.",
            )
            .example(r#"until = "2027-03-31""#)
            .refused("What is neither, and a time without a zone."),
        ],
        finish,
    }
}

/// Resolves the names of an exception and adds it to the policy.
pub(in crate::config) fn finish(
    config: &mut Config,
    draft: Draft,
    places: &Places,
    faults: &mut Vec<Fault>,
) {
    let is_ban = draft.is_ban();
    let mut exception = draft.exception;
    exception.is_ban = is_ban;
    let before = faults.len();
    let (origins, systems) = targets::origins(&draft.from, faults);
    exception.from = origins;
    exception.to = targets::destinations(&config.policy.tenants, &draft.to, true, faults);
    if faults.len() > before {
        return;
    }
    if !places.keys.contains_key("services") {
        exception.traffic = vec![Traffic::Any];
    }
    for (key, is_empty, help) in [
        (
            "from",
            exception.from.is_empty() && systems.is_empty(),
            "name at least one",
        ),
        ("to", exception.to.is_empty(), "name at least one"),
        (
            "services",
            exception.traffic.is_empty(),
            "leave the line out for all traffic, or name some",
        ),
    ] {
        if is_empty {
            let title = "the exception admits nothing";
            faults.push(Problem::new(title, "the list is empty", help).at(places.of(key)));
        }
    }
    if exception.is_ban {
        refuse_partial_ban(&exception, places, faults);
    }
    if let Some(slot) = free_slot(config, places, faults)
        && faults.len() == before
    {
        exception.slot = slot;
        let mention = |(name, span): (asn::AsName, Range<usize>)| {
            AsMention::new(name, AsRule::Exception(exception.id.clone()), span)
        };
        config.as_mentions.extend(systems.into_iter().map(mention));
        config.policy.exceptions.push(Arc::new(exception));
    }
}

/// Refuses a ban that is for a country, or not for everything.
fn refuse_partial_ban(ban: &Exception, places: &Places, faults: &mut Vec<Fault>) {
    let has_country = ban.from.iter().any(|one| matches!(one, Origin::Country(_)));
    for (key, is_wrong, help) in [
        (
            "from",
            has_country,
            "name prefixes; a country is blocked by `block`",
        ),
        (
            "to",
            ban.to != [Destination::Anywhere],
            "write to = [\"any\"]",
        ),
        (
            "services",
            ban.traffic != [Traffic::Any],
            "leave the line out",
        ),
    ] {
        if is_wrong {
            let title = "a ban is for all packets of its sources";
            faults.push(Problem::new(title, "not for some", help).at(places.of(key)));
        }
    }
}

/// As `finish`; but a tenant or database that the configuration no longer has makes a runtime exception idle.
///
/// That is no error, because the change of the configuration is not the fault of the exception, and the filter has to
/// start.
pub(in crate::config) fn finish_runtime(
    config: &mut Config,
    mut draft: Draft,
    places: &Places,
    faults: &mut Vec<Fault>,
) {
    let spec = draft.spec();
    let tenants = &config.policy.tenants;
    let is_missing = |one: &mut Spanned<'_>| targets::is_missing_tenant(tenants, &one.text);
    let missing_tenants = texts(draft.to.extract_if(.., is_missing));
    let has_database = config.asn_database.is_some();
    let is_unresolved = |one: &mut Spanned<'_>| !has_database && asn::is_as(&one.text);
    let systems_without_database = texts(draft.from.extract_if(.., is_unresolved));
    let exception = RuntimeException {
        missing_tenants,
        systems_without_database,
        unknown_systems: Vec::new(),
        is_shadowed: config.runtime.own_names.contains(&spec.id),
        spec,
    };
    if exception.is_idle() {
        targets::origins(&draft.from, faults);
    } else {
        finish(config, draft, places, faults);
    }
    config.runtime.list.push(Arc::new(exception));
}

impl Draft {
    fn is_ban(&self) -> bool {
        self.action == Some(Action::Drop)
    }

    /// The entry in its own words.
    fn spec(&self) -> ExceptionSpec {
        ExceptionSpec {
            id: self.exception.id.clone(),
            from: texts(self.from.iter().cloned()),
            to: texts(self.to.iter().cloned()),
            services: texts(self.services.iter().cloned()),
            action: self.is_ban().then(|| DROP.to_owned()),
            owner: self.exception.owner.clone(),
            reason: self.exception.reason.clone(),
            until: self.until.clone(),
        }
    }
}

fn texts<'a>(spanned: impl Iterator<Item = Spanned<'a>>) -> Vec<String> {
    spanned.map(|one| one.text.into_owned()).collect()
}

/// The next counter that no exception or protection has.
pub(super) fn free_slot(config: &Config, places: &Places, faults: &mut Vec<Fault>) -> Option<u32> {
    let policy = &config.policy;
    let used = policy.exceptions.len() + policy.protections.len();
    let slot = u32::try_from(used).ok().filter(|slot| *slot < SLOTS_MAX);
    if slot.is_none() {
        let problem = Problem::new(
            format!("there are more than {SLOTS_MAX} exceptions and protections"),
            "one too many",
            "remove some; a country or a tenant in one exception can replace many",
        );
        faults.push(problem.at(places.entry.clone()));
    }
    slot
}
