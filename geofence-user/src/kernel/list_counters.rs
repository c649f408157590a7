//! Counters of packets from and to listed addresses, by list and tenant.

use std::collections::{BTreeMap, BTreeSet};

use aya::maps::{MapData, PerCpuHashMap};
use geofence_common::maps::{ListCounters, ListKey, name};

use super::counters::per_cpu;
use super::error::KernelError;
use super::filter::Filter;
use super::retry;

/// The counters by list and tenant.
pub type ListCounts = BTreeMap<ListKey, ListCounters>;

impl Filter {
    /// The counters of every list and tenant, summed over CPUs.
    pub fn list_counts(&self) -> Result<ListCounts, KernelError> {
        let counters: PerCpuHashMap<_, ListKey, ListCounters> = self.open(name::LISTS)?;
        let mut counts = ListCounts::new();
        for entry in counters.iter() {
            let (key, cpus) = entry.map_err(KernelError::map("reading LISTS"))?;
            let sum: &mut ListCounters = counts.entry(key).or_default();
            for one in cpus.iter() {
                *sum += *one;
            }
        }
        Ok(counts)
    }

    /// Creates the counters of these lists now, so that they exist even if the table fills up later.
    pub fn count_lists(&mut self, lists: &BTreeSet<u32>) -> Result<(), KernelError> {
        let known = self.list_counts()?;
        let mut counters = self.list_counters_mut()?;
        for list in lists {
            let key = ListKey {
                list: *list,
                tenant: 0,
            };
            if !known.contains_key(&key) {
                retry::insert(|| counters.insert(&key, per_cpu(ListCounters::ZERO)?, 0))
                    .map_err(KernelError::map("creating counters in LISTS"))?;
            }
        }
        Ok(())
    }

    /// Removes the counters of all lists and tenants but these.
    pub fn retain_list_counters(
        &mut self,
        lists: &BTreeSet<u32>,
        tenants: &BTreeSet<u32>,
    ) -> Result<(), KernelError> {
        let known = self.list_counts()?;
        let mut counters = self.list_counters_mut()?;
        for key in known.into_keys() {
            let is_known = key.tenant == 0 || tenants.contains(&key.tenant);
            if !(is_known && lists.contains(&key.list)) {
                counters
                    .remove(&key)
                    .map_err(KernelError::map("removing counters from LISTS"))?;
            }
        }
        Ok(())
    }

    fn list_counters_mut(
        &mut self,
    ) -> Result<PerCpuHashMap<&mut MapData, ListKey, ListCounters>, KernelError> {
        self.open_mut(name::LISTS)
    }
}
