//! Counters by interface and country, by tenant, and by exception.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd as _;

use aya::maps::{Array, Map, MapData, MapError, PerCpuArray, PerCpuValues};
use aya::util::nr_cpus;
use geofence_common::action::{Action, Reason};
use geofence_common::country::{COUNTRIES_MAX, Country};
use geofence_common::maps::{Counter, CountryCounters, Hits, INTERFACES_MAX, counters_key, name};

use super::batch;
use super::error::KernelError;
use super::filter::Filter;

/// The counters of a tenant.
pub type TenantCounters = BTreeMap<(Action, Reason), Counter>;

impl Filter {
    /// Gives an interface a slot of counters.
    pub(super) fn assign_slot(
        &mut self,
        interface_index: u32,
        slot: u32,
    ) -> Result<(), KernelError> {
        let mut interfaces: Array<_, u32> = self.open_mut(name::INTERFACES)?;
        interfaces
            .set(interface_index % INTERFACES_MAX, &slot, 0)
            .map_err(KernelError::map("writing INTERFACES"))
    }

    /// The slot that counts an interface, if it has one and the slot exists.
    pub(super) fn slot(&self, interface_index: u32) -> Result<Option<u32>, KernelError> {
        let interfaces: Array<_, u32> = self.open(name::INTERFACES)?;
        let slot = interfaces
            .get(&(interface_index % INTERFACES_MAX), 0)
            .map_err(KernelError::map("reading INTERFACES"))?;
        let counters: PerCpuArray<_, CountryCounters> = self.open(name::COUNTERS)?;
        Ok(Some(slot).filter(|slot| *slot > 0 && *slot < counters.len() / COUNTRIES_MAX as u32))
    }

    pub(super) fn counters_mut(
        &mut self,
    ) -> Result<PerCpuArray<&mut MapData, CountryCounters>, KernelError> {
        self.open_mut(name::COUNTERS)
    }

    /// The counters of a slot that are not zero, summed over CPUs.
    pub fn counters(
        &self,
        slot: u32,
    ) -> Result<BTreeMap<(Country, Action, Reason), Counter>, KernelError> {
        let counters: PerCpuArray<_, CountryCounters> = self.open(name::COUNTERS)?;
        let mut sums = BTreeMap::new();
        for number in 0..COUNTRIES_MAX {
            let country = Country::from_number(number as u8);
            let cpus = counters
                .get(&counters_key(slot, country.number()), 0)
                .map_err(KernelError::map("reading COUNTERS"))?;
            for (action, reason, counter) in cpus.iter().flat_map(CountryCounters::counted) {
                let sum: &mut Counter = sums.entry((country, action, reason)).or_default();
                *sum += counter;
            }
        }
        Ok(sums)
    }

    /// How many packets of a slot were in an encapsulation that is not read.
    pub fn encapsulated(&self, slot: u32) -> Result<u64, KernelError> {
        let counters: PerCpuArray<_, CountryCounters> = self.open(name::COUNTERS)?;
        let cpus = counters
            .get(&counters_key(slot, Country::NONE.number()), 0)
            .map_err(KernelError::map("reading COUNTERS"))?;
        let counted = cpus.iter().flat_map(CountryCounters::counted);
        let counted = counted.filter(|(_, reason, _)| *reason == Reason::Encapsulated);
        Ok(counted.map(|(_, _, counter)| counter.packets).sum())
    }

    /// Sets the counters of a slot to zero, because another interface may have used it.
    pub(super) fn clear_counters(&mut self, slot: u32) -> Result<(), KernelError> {
        let mut counters = self.counters_mut()?;
        for country in 0..COUNTRIES_MAX {
            let key = counters_key(slot, country as u8);
            let values = counters
                .get(&key, 0)
                .map_err(KernelError::map("reading COUNTERS"))?;
            if !values.iter().all(CountryCounters::is_zero) {
                clear(&mut counters, key, CountryCounters::ZERO)
                    .map_err(KernelError::map("clearing COUNTERS"))?;
            }
        }
        Ok(())
    }

    /// The counters of a tenant that are not zero, summed over CPUs.
    pub fn tenant_counters(&self, number: u32) -> Result<TenantCounters, KernelError> {
        let counters: PerCpuArray<_, CountryCounters> = self.open(name::TENANTS)?;
        let cpus = counters
            .get(&number, 0)
            .map_err(KernelError::map("reading TENANTS"))?;
        let mut sums = TenantCounters::new();
        for (action, reason, counter) in cpus.iter().flat_map(CountryCounters::counted) {
            *sums.entry((action, reason)).or_default() += counter;
        }
        Ok(sums)
    }

    /// Clears the counters of a tenant, because another tenant had its number.
    pub fn clear_tenant(&mut self, number: u32) -> Result<(), KernelError> {
        let mut counters: PerCpuArray<_, CountryCounters> = self.open_mut(name::TENANTS)?;
        clear(&mut counters, number, CountryCounters::ZERO)
            .map_err(KernelError::map("clearing TENANTS"))
    }

    /// What each exception or protection let pass, and when it last did; by slot.
    pub fn hits(&self) -> Result<Vec<Hits>, KernelError> {
        let Map::PerCpuArray(hits) = self.map(name::HITS)? else {
            return Err(KernelError::NoMap(name::HITS));
        };
        let mut all = Vec::new();
        let cpus = cpus().map_err(KernelError::io("counting the CPUs"))?;
        batch::elements(hits.fd().as_fd(), cpus, |cpus| all.push(sum(cpus)))
            .map_err(KernelError::io("reading HITS: BPF_MAP_LOOKUP_BATCH"))?;
        Ok(all)
    }

    /// What one exception or protection let pass, by its slot.
    pub fn hits_of(&self, slot: u32) -> Result<Hits, KernelError> {
        let hits: PerCpuArray<_, Hits> = self.open(name::HITS)?;
        let cpus = hits
            .get(&slot, 0)
            .map_err(KernelError::map("reading HITS"))?;
        Ok(sum(&cpus))
    }

    /// Clears the counter of an exception, because another exception had its slot.
    pub fn clear_hits(&mut self, slot: u32) -> Result<(), KernelError> {
        let mut hits: PerCpuArray<_, Hits> = self.open_mut(name::HITS)?;
        clear(&mut hits, slot, Hits::default()).map_err(KernelError::map("clearing HITS"))
    }
}

/// What an exception let pass on all CPUs.
fn sum(cpus: &[Hits]) -> Hits {
    cpus.iter().fold(Hits::default(), |sum, one| Hits {
        packets: sum.packets + one.packets,
        last: sum.last.max(one.last),
    })
}

/// Sets an element to this value on all CPUs.
fn clear<T: aya::Pod>(
    map: &mut PerCpuArray<&mut MapData, T>,
    index: u32,
    zero: T,
) -> Result<(), MapError> {
    map.set(index, per_cpu(zero)?, 0)
}

/// The same value for each CPU.
pub(super) fn per_cpu<T: aya::Pod + Clone>(value: T) -> Result<PerCpuValues<T>, MapError> {
    Ok(PerCpuValues::try_from(vec![value; cpus()?])?)
}

/// How many values a per-CPU map has for each element.
pub(super) fn cpus() -> io::Result<usize> {
    nr_cpus()
        .map(|cpus| cpus.get() as usize)
        .map_err(|(_, cause)| cause)
}
