//! What the daemon knows of contacts with listed addresses.

use std::collections::BTreeMap;
use std::time::Duration;

use geofence_common::event::Event;
use jiff::Timestamp;
use serde_json::Value;

use super::{Daemon, lock};
use crate::daemon::events::{Identities, log};
use crate::kernel::{LoadError, flows};
use crate::model::failure::Failure;
use crate::serve::metrics::{Contacts, ListOf};

/// How long an asker waits for the next contact before it is told that there was none.
const PATIENCE: Duration = Duration::from_secs(30);

impl Daemon {
    /// Keeps contacts, and logs those that are to be.
    pub fn keep_contacts(&self, told: Vec<(Event, bool)>) {
        let Ok(boot) = flows::now() else { return };
        let clocks = [boot.cast_signed(), Timestamp::now().as_millisecond()];
        let names = lock(&self.names);
        let mut recent = lock(&self.recent);
        for (event, is_logged) in told {
            recent.keep(event, clocks);
            if is_logged && let Some(contact) = recent.last(&names) {
                log(&contact, event.direction());
            }
        }
        self.contacts.send_replace(recent.count());
    }

    /// The contacts from this number on; waits for the first of them, if that is wanted, and not for ever.
    pub async fn contacts(&self, since: u64, wait: bool) -> Value {
        if wait {
            let mut contacts = self.contacts.subscribe();
            // Either way, what there is by then is the answer.
            let _ = tokio::time::timeout(PATIENCE, contacts.wait_for(|count| *count > since)).await;
        }
        let names = lock(&self.names);
        lock(&self.recent).since(since, &names)
    }

    /// Has the kernel count by list what a configuration has lists for, before its image is in place.
    pub(super) fn count_lists(&self, identities: &Identities) -> Result<(), Failure> {
        lock(&self.filter)
            .count_lists(&identities.lists)
            .map_err(Failure::from)
    }

    /// Forgets what was counted of lists and tenants that are no more.
    pub(super) fn forget_lists_but(&self, identities: &Identities) {
        let Identities { lists, tenants } = identities;
        if let Err(error) = lock(&self.filter).forget_lists_but(lists, tenants) {
            tracing::warn!("what was counted of former lists stays: {error}");
        }
    }

    /// What was counted of lists, by name.
    pub(super) fn list_counters(&self) -> Result<Contacts, LoadError> {
        let counts = lock(&self.filter).list_counts()?;
        let names = lock(&self.names);
        let lists = lock(&self.current).config.lists.clone();
        let mut contacts: Contacts = lists
            .into_iter()
            .map(|list| {
                let of = ListOf {
                    direction: list.direction,
                    tenants: BTreeMap::from([(String::new(), Default::default())]),
                };
                (list.name, of)
            })
            .collect();
        for (key, counters) in counts {
            if let Some(list) = contacts.get_mut(&names.list(key.list)) {
                let tenant = names.tenant(key.tenant).unwrap_or_default();
                *list.tenants.entry(tenant).or_default() += counters;
            }
        }
        Ok(contacts)
    }
}
