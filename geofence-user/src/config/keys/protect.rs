//! The keys of `[[protect]]`.

use super::exception::{NAME_REFUSED, free_slot};
use crate::config::configuration::Config;
use crate::config::error::{Fault, Problem};
use crate::config::key::Key;
use crate::config::table::{Places, Table};
use crate::config::value::Spanned;
use crate::config::{addresses, targets, values};
use crate::model::policy::{Destination, Protection};

/// An entry that is being read.
#[derive(Default)]
pub(in crate::config) struct Draft {
    protection: Protection,
    to: Vec<Spanned<'static>>,
}

type K = Key<Draft>;

pub(in crate::config) fn table() -> Table<Draft> {
    Table {
        name: "protect",
        meaning: "Ports that only named sources may reach, whatever their country: remote desktops, file shares.",
        details: "There may be any number, each in a `[[protect]]` of its own at the end of the file. Besides the \
                  named sources, management prefixes reach a protected port, and exceptions that name the port; \
                  `allow` and `services` do not open it. A packet that hides its port counts as one for a protected \
                  port. Protect ports that are served, not ports that our side sends from: replies to those are \
                  dropped too.",
        keys: vec![
            K::text("id", "a name", targets::name, |draft| {
                &mut draft.protection.id
            })
            .required()
            .meaning("The name of the protection in metrics and explanations.")
            .example(r#"id = "remote-desktops""#)
            .refused(NAME_REFUSED),
            K::list("services", "services", values::service, |draft| {
                &mut draft.protection.services
            })
            .required()
            .meaning("The ports.")
            .example(r#"services = ["tcp/3389", "udp/3389", "tcp/445"]"#)
            .refused("As for `services` above; an empty list."),
            K::list(
                "from",
                "prefixes and addresses",
                addresses::prefix,
                |draft| &mut draft.protection.from,
            )
            .required()
            .meaning("The sources that may reach them, such as the VPN's prefixes.")
            .details("An empty list leaves the ports to management prefixes.")
            .example(r#"from = ["198.51.100.0/24"]"#)
            .refused("As for `management`, but whole families are accepted."),
            K::spanned_list("to", "tenants, or \"any\"", |draft| &mut draft.to)
                .default("`[\"any\"]`")
                .meaning("The destinations whose ports are protected.")
                .example(r#"to = ["customer-17"]"#)
                .refused(
                    "A tenant that does not exist, with the nearest; a prefix; an empty list.",
                ),
        ],
        finish,
    }
}

fn finish(config: &mut Config, draft: Draft, places: &Places, faults: &mut Vec<Fault>) {
    let mut protection = draft.protection;
    let before = faults.len();
    protection.to = if places.keys.contains_key("to") {
        targets::destinations(&config.policy.tenants, &draft.to, false, faults)
    } else {
        vec![Destination::Anywhere]
    };
    if faults.len() > before {
        return;
    }
    for (key, is_empty) in [
        ("services", protection.services.is_empty()),
        ("to", protection.to.is_empty()),
    ] {
        if is_empty {
            let title = "the protection protects nothing";
            let problem = Problem::new(title, "the list is empty", "name at least one");
            faults.push(problem.at(places.of(key)));
        }
    }
    if let Some(slot) = free_slot(config, places, faults)
        && faults.len() == before
    {
        protection.slot = slot;
        config.policy.protections.push(protection);
    }
}
