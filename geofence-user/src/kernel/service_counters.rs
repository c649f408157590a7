//! Counters of packets from blocked countries that passed for an exempted service, by the service.
//!
//! A service of the configuration has a slot, and each of its ports leads to that slot. The tables are pinned with the
//! service of each slot, so another daemon finds which slot is whose. A counter never goes back: a service that gets a
//! slot notes how far the counter is. A slot that a service has left is free for others at the next change, when no
//! packet can be on its way there any more.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd as _;

use aya::maps::{Array, Map};
use geofence_common::maps::name;
use geofence_common::service::{
    ECHO_PLACES, OTHER_SLOT, PLACES, SERVICE_SLOTS, ServiceName, place,
};
use geofence_common::wire::protocol;
use tracing::warn;

use super::batch;
use super::counters::cpus;
use super::error::KernelError;
use super::filter::{Filter, ServiceSlots};
use crate::model::policy::{CountedService, Service, ServiceProtocol};

/// The services with a counter.
const SERVICES_MAX: usize = SERVICE_SLOTS - 1;

/// What was counted by service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceCounts {
    pub services: BTreeMap<CountedService, u64>,
    /// Packets for services without a counter of their own.
    pub other: u64,
}

impl Filter {
    /// The packets of every service that has a counter.
    pub fn service_counts(&self) -> Result<ServiceCounts, KernelError> {
        let packets = self.packets_by_slot()?;
        let of = |slot: u8| packets.get(usize::from(slot)).copied().unwrap_or(0);
        let slots = self.service_slots.clone();
        let slots = slots.map_or_else(|| self.read_slots(), Ok)?.into_iter();
        let services =
            slots.map(|(service, (slot, start))| (service, of(slot).saturating_sub(start)));
        Ok(ServiceCounts {
            services: services.collect(),
            other: of(OTHER_SLOT),
        })
    }

    /// Gives these services counters, besides those that have one.
    pub fn count_services(
        &mut self,
        services: &BTreeSet<CountedService>,
    ) -> Result<(), KernelError> {
        // If a write fails, they are read from the table again.
        let (mut known, is_written) = self.take_slots()?;
        let is_known = services.iter().all(|service| known.contains_key(service));
        if is_known && is_written {
            self.service_slots = Some(known);
            return Ok(());
        }
        let packets = self.packets_by_slot()?;
        let taken: BTreeSet<u8> = known.values().map(|(slot, _)| *slot).collect();
        let mut free = (OTHER_SLOT + 1..=u8::MAX).filter(|slot| !taken.contains(slot));
        let mut left_out = 0;
        for service in services {
            if known.contains_key(service) {
                continue;
            }
            let Some(slot) = free.next() else {
                left_out += 1;
                continue;
            };
            let start = packets.get(usize::from(slot)).copied().unwrap_or(0);
            self.write_name(slot, name_of(*service, start))?;
            known.insert(*service, (slot, start));
        }
        if left_out != 0 {
            warn!(
                "{left_out} of {} exempted services have no counter of their own, because there are {SERVICES_MAX}: \
                 their packets are counted as service=\"other\". Join ports to ranges, or leave services out",
                services.len()
            );
        }
        self.write_ports(&known)?;
        self.service_slots = Some(known);
        Ok(())
    }

    /// Takes their counters from all services but these.
    pub fn retain_services(
        &mut self,
        services: &BTreeSet<CountedService>,
    ) -> Result<(), KernelError> {
        let (known, is_written) = self.take_slots()?;
        let (kept, gone): (ServiceSlots, ServiceSlots) = known
            .into_iter()
            .partition(|(service, _)| services.contains(service));
        if !gone.is_empty() || !is_written {
            self.write_ports(&kept)?;
        }
        for (slot, _) in gone.into_values() {
            self.write_name(slot, ServiceName::default())?;
        }
        self.service_slots = Some(kept);
        Ok(())
    }

    /// The slots, and whether the ports of each are known to lead there.
    fn take_slots(&mut self) -> Result<(ServiceSlots, bool), KernelError> {
        match self.service_slots.take() {
            Some(known) => Ok((known, true)),
            None => Ok((self.read_slots()?, false)),
        }
    }

    /// Has the ports of each service lead to its slot, and all others to that of no service.
    fn write_ports(&mut self, slots: &ServiceSlots) -> Result<(), KernelError> {
        let slots = slots.iter().map(|(service, (slot, _))| (*service, *slot));
        let slots = slots_by_place(slots);
        let slots = slots.first_chunk::<PLACES>().ok_or(KernelError::Object)?;
        let mut ports: Array<_, [u8; PLACES]> = self.open_mut(name::SERVICE_PORTS)?;
        ports
            .set(0, slots, 0)
            .map_err(KernelError::map("writing SERVICE_PORTS"))
    }

    fn write_name(&mut self, slot: u8, service: ServiceName) -> Result<(), KernelError> {
        let mut names: Array<_, ServiceName> = self.open_mut(name::SERVICE_NAMES)?;
        names
            .set(slot.into(), &service, 0)
            .map_err(KernelError::map("writing SERVICE_NAMES"))
    }

    /// Reads the slots from the table.
    fn read_slots(&self) -> Result<ServiceSlots, KernelError> {
        let Map::Array(names) = self.map(name::SERVICE_NAMES)? else {
            return Err(KernelError::NoMap(name::SERVICE_NAMES));
        };
        let mut all: Vec<ServiceName> = Vec::new();
        batch::elements(names.fd().as_fd(), 1, |one| all.extend(one)).map_err(KernelError::io(
            "reading SERVICE_NAMES: BPF_MAP_LOOKUP_BATCH",
        ))?;
        let slots = (0..=u8::MAX).zip(all);
        Ok(slots
            .filter_map(|(slot, name)| Some((service_of(&name)?, (slot, name.start))))
            .collect())
    }

    /// The packets of each slot, over all CPUs.
    fn packets_by_slot(&self) -> Result<Vec<u64>, KernelError> {
        let Map::PerCpuArray(packets) = self.map(name::SERVICES)? else {
            return Err(KernelError::NoMap(name::SERVICES));
        };
        let cpus = cpus().map_err(KernelError::io("counting the CPUs"))?;
        let mut all = Vec::new();
        batch::elements(packets.fd().as_fd(), cpus, |one: &[u64]| {
            all.push(one.iter().sum());
        })
        .map_err(KernelError::io("reading SERVICES: BPF_MAP_LOOKUP_BATCH"))?;
        Ok(all)
    }
}

/// The slot of each place. Where services overlap, the one with the fewest ports holds the place.
fn slots_by_place(services: impl Iterator<Item = (CountedService, u8)>) -> Vec<u8> {
    let mut slots = vec![OTHER_SLOT; PLACES];
    let mut services: Vec<_> = services.collect();
    services.sort_by_key(|(service, _)| std::cmp::Reverse(width(*service)));
    for (service, slot) in services {
        let places = match service {
            CountedService::Echo => {
                for at in ECHO_PLACES {
                    slots[at as usize] = slot;
                }
                continue;
            }
            CountedService::Ports(service) => [service.first, service.last]
                .map(|port| place(service.protocol.number(), port) as usize),
        };
        let [first, last] = places;
        slots[first..=last].fill(slot);
    }
    slots
}

/// How many ports a service has.
fn width(service: CountedService) -> u16 {
    match service {
        CountedService::Echo => 0,
        CountedService::Ports(service) => service.last.saturating_sub(service.first),
    }
}

fn name_of(service: CountedService, start: u64) -> ServiceName {
    let (protocol, [first, last]) = match service {
        CountedService::Echo => (protocol::ICMP, [0; 2]),
        CountedService::Ports(service) => {
            (service.protocol.number(), [service.first, service.last])
        }
    };
    ServiceName {
        start,
        first,
        last,
        protocol,
        padding: [0; 3],
    }
}

/// The service with this name, if it is one: the table is pinned, and an earlier version may have written it.
fn service_of(name: &ServiceName) -> Option<CountedService> {
    let protocol = match name.protocol {
        protocol::ICMP => return Some(CountedService::Echo),
        protocol::TCP => ServiceProtocol::Tcp,
        protocol::UDP => ServiceProtocol::Udp,
        _ => return None,
    };
    let service = Service {
        protocol,
        first: name.first,
        last: name.last,
    };
    (name.first <= name.last).then_some(CountedService::Ports(service))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(protocol: ServiceProtocol, first: u16, last: u16) -> CountedService {
        CountedService::Ports(Service {
            protocol,
            first,
            last,
        })
    }

    #[test]
    fn narrowest_service_holds_a_port() {
        use ServiceProtocol::{Tcp, Udp};
        let services = [
            (ports(Tcp, 443, 443), 1),
            (ports(Tcp, 1, u16::MAX), 2),
            (ports(Tcp, 400, 500), 3),
            (ports(Udp, 5000, 6000), 4),
            (CountedService::Echo, 5),
        ];
        let slots = slots_by_place(services.into_iter());
        let at = |protocol: ServiceProtocol, port| slots[place(protocol.number(), port) as usize];
        let tcp = [1, 399, 400, 442, 443, 444, 500, 501, u16::MAX].map(|port| at(Tcp, port));
        assert_eq!(tcp, [2, 2, 3, 3, 1, 3, 3, 2, 2]);
        let udp = [443, 4999, 5000, 6000, 6001].map(|port| at(Udp, port));
        assert_eq!(udp, [0, 0, 4, 4, 0]);
        assert_eq!(ECHO_PLACES.map(|place| slots[place as usize]), [5, 5]);
    }

    #[test]
    fn name_of_a_slot_is_read_back_and_nothing_else_is_a_name() {
        let services = [
            CountedService::Echo,
            ports(ServiceProtocol::Tcp, 25, 25),
            ports(ServiceProtocol::Udp, 5000, 6000),
        ];
        for service in services {
            assert_eq!(service_of(&name_of(service, 7)), Some(service));
        }
        assert_eq!(service_of(&ServiceName::default()), None);
        let reversed = ServiceName {
            first: 2,
            last: 1,
            protocol: protocol::TCP,
            ..ServiceName::default()
        };
        assert_eq!(service_of(&reversed), None);
    }
}
