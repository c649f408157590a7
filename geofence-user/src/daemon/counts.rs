//! Every packet counter at one moment, for the history and for `geofence top`, which works out rates itself.

use std::sync::Arc;

use geofence_common::action::{Action, Direction, Reason};
use geofence_common::country::Country;
use geofence_common::maps::{Counter, list_counter};
use serde_json::{Value, json};

use super::facts::{ListCount, ListCounts};
use super::recent_counts::Counts;
use super::start::sentence;
use super::state::Daemon;
use super::sync::lock;
use crate::kernel::KernelError;
use crate::model::failure::{Cause, Failure};
use crate::model::word::Word as _;
use crate::os::clock::boot_now;

impl Daemon {
    pub(super) fn counts(&self) -> Result<Counts, KernelError> {
        let slots: Vec<(String, u32)> = lock(&self.interfaces)
            .iter()
            .map(|one| (one.name.clone(), one.slot))
            .collect();
        let config = Arc::clone(&lock(&self.active).config);
        let filter = lock(&self.filter);
        let mut counts = Counts::default();
        for (name, slot) in slots {
            counts.interfaces.insert(name, filter.counters(slot)?);
        }
        for tenant in &config.policy.tenants {
            let counters = filter.tenant_counters(tenant.number)?;
            counts.tenants.insert(tenant.name.clone(), counters);
        }
        Ok(counts)
    }

    /// Every counter as JSON, with the time since boot in nanoseconds.
    ///
    /// # Errors
    /// When the counters cannot be read.
    pub fn counters(&self) -> Result<Value, Failure> {
        let failed = |error: KernelError| Failure::new(Cause::Kernel, error);
        let time = boot_now().map_err(|error| Failure::new(Cause::Kernel, error))?;
        let counts = self.counts().map_err(failed)?;
        let lists = self.list_counts().map_err(failed)?;
        let active = lock(&self.active).clone();
        let rule = &active.config.policy.settings.rule;
        let blocked = Country::all().filter(|country| rule.blocks(*country));
        let is_known = !active.facts.is_last_good;
        let states = lock(&self.interfaces).clone();
        let interfaces = states.iter().map(|state| {
            let counted = counts.interfaces.get(&state.name);
            json!({
                "interface": state.name,
                "mode": state.mode(),
                "protected": state.is_protected(),
                "packets": counted.into_iter().flatten().map(packets_to_json).collect::<Vec<_>>(),
            })
        });
        let tenants = counts.tenants.iter().map(|(tenant, counters)| {
            let packets = counters
                .iter()
                .map(|((action, reason), counter)| to_json("", (*action, *reason), *counter));
            json!({ "tenant": tenant, "packets": packets.collect::<Vec<_>>() })
        });
        Ok(json!({
            "time": time,
            "mode": active.facts.mode.word(),
            "policy": is_known.then(|| sentence(&active.config.policy)),
            "blocked": blocked.map(Country::name).collect::<Vec<_>>(),
            "interfaces": interfaces.collect::<Vec<_>>(),
            "tenants": tenants.collect::<Vec<_>>(),
            "lists": lists_to_json(&lists),
        }))
    }
}

fn packets_to_json(
    ((country, action, reason), counter): (&(Country, Action, Reason), &Counter),
) -> Value {
    to_json(country.name(), (*action, *reason), *counter)
}

fn to_json(country: &str, (action, reason): (Action, Reason), counter: Counter) -> Value {
    json!({
        "country": country,
        "action": action.name(),
        "reason": reason.name(),
        "packets": counter.packets,
        "bytes": counter.bytes,
    })
}

fn lists_to_json(lists: &ListCounts) -> Vec<Value> {
    let sum = |count: &ListCount, action| -> u64 {
        let places = Direction::ALL.map(|way| list_counter(way, action));
        let tenants = count.tenants.values();
        tenants
            .flat_map(|one| places.map(|place| one.packets[place]))
            .sum()
    };
    let lists = lists.iter().map(|(name, count)| {
        json!({
            "list": name,
            "passed": sum(count, Action::Pass),
            "dropped": sum(count, Action::Drop),
        })
    });
    lists.collect()
}
