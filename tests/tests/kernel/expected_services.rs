//! Packets that pass for exempted services: the counts by service that the host works out, and the kernel must match.

use std::collections::{BTreeMap, BTreeSet};

use geofence_common::action::Reason;
use geofence_common::wire::parse::read_five_tuple;
use geofence_common::wire::protocol;
use geofence_user::kernel::{Filter, ServiceCounts};
use geofence_user::model::policy::{CountedService, Policy, Service};

/// The counts that the kernel must have.
pub(super) struct ExpectedServices(ServiceCounts);

impl ExpectedServices {
    /// Has the kernel count the policy's services: all of them, or all but one, whose packets are others' then.
    pub(super) fn new(policy: &Policy, seed: u64, filter: &mut Filter) -> Self {
        let services = policy.counted_services().into_iter();
        let services: BTreeSet<_> = services.skip((seed % 2) as usize).collect();
        filter.count_services(&services).expect("room for them");
        Self(ServiceCounts {
            services: services.into_iter().map(|service| (service, 0)).collect(),
            other: 0,
        })
    }

    pub(super) fn record(&mut self, frame: &[u8], reason: Reason) {
        if !matches!(reason, Reason::Mail | Reason::Service) {
            return;
        }
        let found = read_five_tuple(&frame).expect("the decision parsed it");
        let is_echo = matches!(found.protocol, protocol::ICMP | protocol::ICMPV6);
        let width = |service: &Service| service.last - service.first;
        let holds = |service: &CountedService| match service {
            CountedService::Echo => is_echo.then_some(0),
            CountedService::Ports(service) => (service.protocol.number() == found.protocol
                && (service.first..=service.last).contains(&found.ports[1]))
            .then(|| width(service)),
        };
        let services = self.0.services.iter_mut();
        let holding = services.filter_map(|(service, count)| Some((holds(service)?, count)));
        match holding.min_by_key(|(width, _)| *width) {
            Some((_, count)) => *count += 1,
            None => self.0.other += 1,
        }
    }

    /// Compares what the kernel counted, and what the host did by place.
    pub(super) fn assert_kernel_agrees(&self, filter: &Filter, places: &BTreeMap<u32, u64>) {
        assert_eq!(filter.service_counts().expect("reads"), self.0);
        let sum = self.0.services.values().sum::<u64>() + self.0.other;
        let counters = filter.counters(0).expect("reads").into_iter();
        let passed =
            counters.filter(|((_, _, reason), _)| matches!(reason, Reason::Mail | Reason::Service));
        assert_eq!(sum, passed.map(|(_, counter)| counter.packets).sum::<u64>());
        assert_eq!(sum, places.values().sum::<u64>());
        let counted = self
            .0
            .services
            .values()
            .filter(|count| **count != 0)
            .count();
        assert!(sum > 100 && counted > 3, "{:?}", self.0);
    }
}
