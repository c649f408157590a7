//! The names behind the numbers that an observed frame has: tenant, exception, list. They belong to one image.

use std::collections::HashMap;
use std::sync::Arc;

use geofence_common::action::{Action, Direction, Reason};
use geofence_common::country::Country;
use geofence_common::image::class::Class;
use geofence_common::image::list_set::{Peer, each_list};
use geofence_common::observe::Observed;
use serde_json::{Value, json};

use super::active::ActivePolicy;
use super::event_names::EventNames;
use crate::compile::Image;

/// The names of one image.
#[derive(Debug)]
pub(super) struct VerdictNames {
    image: Arc<Image>,
    tenants: HashMap<u32, String>,
    /// Exceptions and protections, by slot.
    slots: HashMap<u32, String>,
}

/// What an observed verdict says, with names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NamedVerdict {
    pub(super) action: Action,
    pub(super) reason: Option<Reason>,
    pub(super) country: Country,
    pub(super) tenant: Option<String>,
    pub(super) exception: Option<String>,
    pub(super) list: Option<String>,
}

impl VerdictNames {
    pub(super) fn of(active: &ActivePolicy) -> Self {
        let policy = &active.config.policy;
        let tenants = policy.tenants.iter();
        let exceptions = policy.exceptions.iter();
        let exceptions = exceptions.map(|one| (one.slot, one.id.clone()));
        let protections = policy.protections.iter();
        let protections = protections.map(|one| (one.slot, one.id.clone()));
        Self {
            image: Arc::clone(&active.image),
            tenants: tenants.map(|one| (one.number, one.name.clone())).collect(),
            slots: exceptions.chain(protections).collect(),
        }
    }

    pub(super) fn generation(&self) -> u32 {
        self.image.generation()
    }

    /// The number of a tenant.
    pub(super) fn tenant(&self, name: &str) -> Option<u32> {
        let found = self.tenants.iter().find(|(_, one)| *one == name);
        found.map(|(number, _)| *number)
    }

    /// A verdict with names. One by another image has none, because its numbers may mean something else.
    pub(super) fn name(&self, observed: &Observed, lists: &EventNames) -> NamedVerdict {
        let verdict = &observed.verdict;
        let is_known = observed.generation == self.generation();
        let named = |names: &HashMap<u32, String>, number: Option<u32>| {
            let number = number.filter(|_| is_known)?;
            names.get(&number).cloned()
        };
        NamedVerdict {
            action: if verdict.dropped == 0 {
                Action::Pass
            } else {
                Action::Drop
            },
            reason: Reason::from_number(verdict.reason),
            country: Country::from_number(verdict.country),
            tenant: named(&self.tenants, Some(verdict.tenant)),
            exception: named(&self.slots, verdict.exception.checked_sub(1)),
            list: is_known.then(|| self.list(observed, lists)).flatten(),
        }
    }

    /// The first list that covers the packet.
    fn list(&self, observed: &Observed, names: &EventNames) -> Option<String> {
        let peer = Peer {
            class: Class::from_word(observed.verdict.class),
            records: observed.verdict.records,
            policy: observed.verdict.policy,
        };
        let words = self.image.words();
        let found = peer.list_match(Direction::In, &words);
        let mut first = None;
        let frame: &[u8] = &[];
        each_list(&frame, &found, Direction::In, &words, |list| {
            first.get_or_insert(list.identity);
        });
        first.map(|list| names.list(list))
    }
}

impl NamedVerdict {
    /// Adds what the verdict says to the JSON of an event or a frame.
    pub(super) fn add_to(&self, object: &mut Value) {
        object["action"] = json!(self.action.name());
        object["reason"] = json!(self.reason.map_or("unknown", Reason::name));
        object["country"] = json!(self.country.name());
        object["tenant"] = json!(self.tenant);
        object["exception"] = json!(self.exception);
        object["list"] = json!(self.list);
    }
}
