//! What was counted by tenant and by exception.

use std::collections::BTreeMap;

use aya::maps::{PerCpuArray, PerCpuValues};
use aya::util::nr_cpus;
use geofence_common::layout::{Counter, CountryCounters, Hits, name};
use geofence_common::verdict::{Action, Reason};

use super::filter::{Filter, LoadError, map_error};

/// What was counted of a tenant.
pub type TenantCounters = BTreeMap<(Action, Reason), Counter>;

impl Filter {
    /// The counters of the tenant of this number, summed over CPUs: what is not zero.
    pub fn tenant_counters(&self, number: u32) -> Result<TenantCounters, LoadError> {
        let counters: PerCpuArray<_, CountryCounters> = self
            .map(name::TENANTS)?
            .try_into()
            .map_err(map_error("opening TENANTS"))?;
        let cpus = counters
            .get(&number, 0)
            .map_err(map_error("reading TENANTS"))?;
        let mut sums = TenantCounters::new();
        for (action, reason, counter) in cpus.iter().flat_map(CountryCounters::counted) {
            *sums.entry((action, reason)).or_default() += counter;
        }
        Ok(sums)
    }

    /// What the exception or protection of this slot let pass, and when it last did.
    pub fn hits(&self, slot: u32) -> Result<Hits, LoadError> {
        let hits: PerCpuArray<_, Hits> = self
            .map(name::HITS)?
            .try_into()
            .map_err(map_error("opening HITS"))?;
        let cpus = hits.get(&slot, 0).map_err(map_error("reading HITS"))?;
        let sum = cpus.iter().fold(Hits::default(), |sum, one| Hits {
            packets: sum.packets + one.packets,
            last: sum.last.max(one.last),
        });
        Ok(sum)
    }

    /// Has a tenant's counters start anew: another had the number.
    pub fn clear_tenant(&mut self, number: u32) -> Result<(), LoadError> {
        let mut counters: PerCpuArray<_, CountryCounters> = self
            .map_mut(name::TENANTS)?
            .try_into()
            .map_err(map_error("opening TENANTS"))?;
        counters
            .set(number, zeros(CountryCounters::ZERO)?, 0)
            .map_err(map_error("clearing TENANTS"))
    }

    /// Has an exception's counter start anew: another had the slot.
    pub fn clear_hits(&mut self, slot: u32) -> Result<(), LoadError> {
        let mut hits: PerCpuArray<_, Hits> = self
            .map_mut(name::HITS)?
            .try_into()
            .map_err(map_error("opening HITS"))?;
        hits.set(slot, zeros(Hits::default())?, 0)
            .map_err(map_error("clearing HITS"))
    }
}

/// A value for each CPU.
pub(super) fn zeros<T: aya::Pod + Clone>(zero: T) -> Result<PerCpuValues<T>, LoadError> {
    let failed = |cause: std::io::Error| LoadError::Map {
        call: "clearing a counter",
        source: Box::new(cause.into()),
    };
    let cpus = nr_cpus().map_err(|(_, cause)| failed(cause))?;
    PerCpuValues::try_from(vec![zero; cpus]).map_err(failed)
}
