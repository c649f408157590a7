//! Which ports a policy opens to blocked countries, and which it protects, compared with another.

use geofence_common::image::PortRule;
use serde::{Serialize, Serializer};

use super::destination::Destination;
use crate::model::policy::{Service, ServiceProtocol};

/// The ports that only the new policy exempts, and those that only the old one exempts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ServiceChange {
    #[serde(serialize_with = "texts")]
    pub opened: Vec<Service>,
    #[serde(serialize_with = "texts")]
    pub closed: Vec<Service>,
    /// The ports that only named sources reach from now on, and those that only named sources reach until now.
    #[serde(serialize_with = "texts")]
    pub protected: Vec<Service>,
    #[serde(serialize_with = "texts")]
    pub released: Vec<Service>,
}

impl ServiceChange {
    pub(super) fn new(before: Destination<'_>, after: Destination<'_>) -> Self {
        let mut change = Self::default();
        for protocol in [ServiceProtocol::Tcp, ServiceProtocol::Udp] {
            for port in 1..=u16::MAX {
                let rules = [before, after].map(|one| one.port_rule(protocol, port));
                // Mail and other services differ in the reason that is counted, not in the verdict.
                let is_exempt = rules.map(|it| matches!(it, PortRule::Mail | PortRule::Service));
                match is_exempt {
                    [false, true] => add(&mut change.opened, protocol, port),
                    [true, false] => add(&mut change.closed, protocol, port),
                    _ => {}
                }
                match rules.map(|it| it == PortRule::Protected) {
                    [false, true] => add(&mut change.protected, protocol, port),
                    [true, false] => add(&mut change.released, protocol, port),
                    _ => {}
                }
            }
        }
        change
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Adds a port; extends the last range if the port follows it.
fn add(services: &mut Vec<Service>, protocol: ServiceProtocol, port: u16) {
    match services.last_mut() {
        Some(last) if last.protocol == protocol && last.last + 1 == port => last.last = port,
        _ => services.push(Service {
            protocol,
            first: port,
            last: port,
        }),
    }
}

fn texts<S: Serializer>(services: &[Service], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(services.iter().map(ToString::to_string))
}
