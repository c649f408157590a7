//! What was counted by tenant and by exception.

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;

use aya::maps::{Map, MapError, PerCpuArray, PerCpuValues};
use aya::util::nr_cpus;
use geofence_common::action::{Action, Reason};
use geofence_common::maps::{Counter, CountryCounters, Hits, name};

use super::batch;
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

    /// What the exception or protection of each slot let pass, and when it last did; by slot.
    pub fn hits(&self) -> Result<Vec<Hits>, LoadError> {
        let Map::PerCpuArray(hits) = self.map(name::HITS)? else {
            return Err(LoadError::NoMap(name::HITS));
        };
        let mut all = Vec::new();
        let cpus = cpus("reading HITS")?;
        batch::elements(hits.fd().as_fd(), cpus, |cpus| all.push(sum(cpus)))
            .map_err(failed("reading HITS: BPF_MAP_LOOKUP_BATCH"))?;
        Ok(all)
    }

    /// What one exception or protection let pass, by its slot.
    pub fn hits_of(&self, slot: u32) -> Result<Hits, LoadError> {
        let hits: PerCpuArray<_, Hits> = self
            .map(name::HITS)?
            .try_into()
            .map_err(map_error("opening HITS"))?;
        let cpus = hits.get(&slot, 0).map_err(map_error("reading HITS"))?;
        Ok(sum(&cpus))
    }

    /// Has a tenant's counters start anew: another had the number.
    pub fn clear_tenant(&mut self, number: u32) -> Result<(), LoadError> {
        let mut counters: PerCpuArray<_, CountryCounters> = self
            .map_mut(name::TENANTS)?
            .try_into()
            .map_err(map_error("opening TENANTS"))?;
        zeros(CountryCounters::ZERO)
            .and_then(|zeros| counters.set(number, zeros, 0))
            .map_err(map_error("clearing TENANTS"))
    }

    /// Has an exception's counter start anew: another had the slot.
    pub fn clear_hits(&mut self, slot: u32) -> Result<(), LoadError> {
        let mut hits: PerCpuArray<_, Hits> = self
            .map_mut(name::HITS)?
            .try_into()
            .map_err(map_error("opening HITS"))?;
        zeros(Hits::default())
            .and_then(|zeros| hits.set(slot, zeros, 0))
            .map_err(map_error("clearing HITS"))
    }
}

/// What an exception let pass on all CPUs.
fn sum(cpus: &[Hits]) -> Hits {
    cpus.iter().fold(Hits::default(), |sum, one| Hits {
        packets: sum.packets + one.packets,
        last: sum.last.max(one.last),
    })
}

/// A value for each CPU.
pub(super) fn zeros<T: aya::Pod + Clone>(zero: T) -> Result<PerCpuValues<T>, MapError> {
    let cpus = nr_cpus().map_err(|(_, cause)| cause)?;
    Ok(PerCpuValues::try_from(vec![zero; cpus])?)
}

/// How many CPUs a per-CPU map has values for.
fn cpus(doing: &'static str) -> Result<usize, LoadError> {
    nr_cpus().map_err(|(_, cause)| failed(doing)(cause))
}

fn failed(doing: &'static str) -> impl Fn(std::io::Error) -> LoadError {
    move |cause| LoadError::Map {
        doing,
        cause: Box::new(cause.into()),
    }
}
