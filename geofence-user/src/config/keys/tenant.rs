//! The keys of `[[tenant]]`.

use std::ops::Range;

use geofence_common::action::Mode;
use geofence_common::image::destination::TENANTS_MAX;
use ipnet::IpNet;

use super::country_rule;
use crate::config::configuration::Config;
use crate::config::error::{Fault, Problem, quoted};
use crate::config::key::Key;
use crate::config::key_doc::Kind;
use crate::config::table::{Places, Table};
use crate::config::{addresses, targets, values};
use crate::model::policy::{Action, Mail, Tenant};

/// An entry that is being read.
#[derive(Default)]
pub(in crate::config) struct Draft {
    tenant: Tenant,
    /// The prefixes with their places.
    prefixes: Vec<(IpNet, Range<usize>)>,
}

const DEFAULT: &str = "as for everyone";

type K = Key<Draft>;

pub(in crate::config) fn table() -> Table<Draft> {
    Table {
        name: "tenant",
        meaning: "Networks with settings of their own, such as those of a customer.",
        details: "There may be up to 1024, each in a `[[tenant]]` of its own at the end of the file. A packet belongs \
                  to a tenant by its destination; if the prefixes of two tenants contain it, the longer prefix \
                  decides. A key that is left out is for the tenant as it is for everyone. Counters carry the \
                  tenant's name. [Tenants and exceptions](exceptions.md) says more.",
        keys: vec![
            K::text("name", "a name", targets::name, |draft| &mut draft.tenant.name)
                .required()
                .meaning("The name of the tenant in metrics, exceptions and explanations.")
                .example(r#"name = "customer-17""#)
                .refused(
                    "More than 64 bytes, other characters than letters, digits, `.`, `_` and `-`, a first character \
                     that is no letter or digit, `any`, an address, and a name given twice.",
                ),
            K::new("prefixes", Kind::List("prefixes and addresses"), |draft, value, faults| {
                if let Some(prefixes) = value.many(faults, addresses::prefix) {
                    let places = value.texts().into_iter().map(|one| one.span);
                    draft.prefixes = prefixes.into_iter().zip(places).collect();
                }
            })
            .required()
            .meaning("The tenant's networks.")
            .example(r#"prefixes = ["203.0.113.0/24", "2001:db8:17::/48"]"#)
            .refused("As for `allow`; an empty list; a prefix of another tenant."),
            country_rule::block(|draft: &mut Draft| &mut draft.tenant.own.rule)
                .default(DEFAULT)
                .meaning("The countries whose packets to the tenant are dropped.")
                .details("It replaces the `block` or `allow-only` of the whole configuration.")
                .example(r#"block = ["RU", "BY"]"#)
                .refused("As for `block` above."),
            country_rule::allow_only(|draft: &mut Draft| &mut draft.tenant.own.rule)
                .default(DEFAULT)
                .meaning("The only countries whose packets to the tenant are not dropped.")
                .details("It replaces the `block` or `allow-only` of the whole configuration.")
                .example(r#"# allow-only = ["EU"]"#)
                .refused("As for `allow-only` above; both `block` and `allow-only`."),
            K::word::<Action, _>("unknown", |draft| &mut draft.tenant.own.unknown)
                .default(DEFAULT)
                .meaning("What happens to packets to the tenant from addresses that no database knows.")
                .example(r#"unknown = "drop""#),
            K::word::<Action, _>("special-use", |draft| &mut draft.tenant.own.special_use)
                .default(DEFAULT)
                .meaning("What happens to packets to the tenant from special-use addresses.")
                .example(r#"special-use = "drop""#),
            K::word::<Mode, _>("mode", |draft| &mut draft.tenant.own.mode)
                .default(DEFAULT)
                .meaning("Whether drops of packets to the tenant are carried out or only counted.")
                .details("A frame whose destination cannot be read belongs to no tenant.")
                .example(r#"mode = "monitor""#),
            K::word::<Mail, _>("mail", |draft| &mut draft.tenant.own.mail)
                .default(DEFAULT)
                .meaning("Which TCP ports of mail stay open to countries that are blocked for the tenant.")
                .example(r#"mail = "off""#),
            K::list("services", "services", values::service, |draft| &mut draft.tenant.own.services)
                .default(DEFAULT)
                .meaning("The tenant's further ports that stay open to countries that are blocked for it.")
                .details("They replace those of the whole configuration.")
                .example(r#"services = ["tcp/443"]"#)
                .refused("As for `services` above."),
            K::word::<Action, _>("icmp-echo", |draft| &mut draft.tenant.own.icmp_echo)
                .default(DEFAULT)
                .meaning("What happens to echo requests to the tenant from countries that are blocked for it.")
                .example(r#"icmp-echo = "pass""#),
        ],
        finish,
    }
}

fn finish(config: &mut Config, draft: Draft, places: &Places, faults: &mut Vec<Fault>) {
    let Draft {
        mut tenant,
        prefixes,
    } = draft;
    let before = faults.len();
    if prefixes.is_empty() {
        let problem = Problem::new(
            "the tenant has no networks",
            "the list is empty",
            "list the tenant's prefixes, or remove the tenant",
        );
        faults.push(problem.at(places.of("prefixes")));
    }
    places.refuse_both_rules(faults);
    let tenants = &config.policy.tenants;
    for (net, span) in &prefixes {
        if let Some(other) = tenants.iter().find(|other| other.prefixes.contains(net)) {
            let problem = Problem::new(
                format!("{net} already belongs to another tenant"),
                format!("also given to {}", quoted(&other.name)),
                "a prefix has one tenant; a longer prefix inside it may have another",
            );
            faults.push(problem.at(span.clone()));
        }
    }
    if tenants.len() >= TENANTS_MAX as usize {
        let problem = Problem::new(
            format!("there are more than {TENANTS_MAX} tenants"),
            "one too many",
            "join tenants that have the same settings",
        );
        faults.push(problem.at(places.entry.clone()));
    }
    if faults.len() == before {
        tenant.prefixes = prefixes.into_iter().map(|(net, _)| net).collect();
        tenant.number = tenants.len() as u32 + 1;
        config.policy.tenants.push(tenant);
    }
}
