//! The names of lists and tenants behind the identifiers that the kernel's list counters and events have.

use std::collections::{BTreeMap, BTreeSet};

use geofence_common::image::list_set::identity;

use crate::config::Config;
use crate::model::policy::CountedService;

/// The identifiers of a configuration's lists and tenants, and its services: whatever has counters by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CounterIds {
    pub lists: BTreeSet<u32>,
    pub tenants: BTreeSet<u32>,
    pub services: BTreeSet<CountedService>,
}

impl CounterIds {
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let mut names = EventNames::default();
        names.add(config);
        Self {
            lists: names.lists.into_keys().collect(),
            tenants: names.tenants.into_keys().collect(),
            services: config.policy.counted_services(),
        }
    }
}

/// Names by identifier. Names that a new configuration drops stay, for events that are still on their way.
#[derive(Clone, Debug, Default)]
pub struct EventNames {
    pub(super) lists: BTreeMap<u32, String>,
    pub(super) tenants: BTreeMap<u32, String>,
}

impl EventNames {
    /// Adds the names in a configuration.
    pub fn add(&mut self, config: &Config) {
        let named = |name: &String| (identity(name.as_bytes()), name.clone());
        let lists = config.lists.iter().map(|list| named(&list.name));
        let tenants = config.policy.tenants.iter();
        self.lists.extend(lists);
        self.tenants
            .extend(tenants.map(|tenant| named(&tenant.name)));
    }

    /// The name of a list, or its identifier if the name is unknown.
    #[must_use]
    pub fn list(&self, id: u32) -> String {
        name_or_id(&self.lists, id)
    }

    /// The name of a tenant; the identifier 0 stands for no tenant.
    #[must_use]
    pub fn tenant(&self, id: u32) -> Option<String> {
        (id != 0).then(|| name_or_id(&self.tenants, id))
    }
}

fn name_or_id(names: &BTreeMap<u32, String>, id: u32) -> String {
    let name = names.get(&id).cloned();
    name.unwrap_or_else(|| format!("unknown {id:08x}"))
}
