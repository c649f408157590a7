//! Which ports an image opens to blocked countries, compared with another.

use geofence_common::image::{PortRule, TCP_SERVICES_LINE, UDP_SERVICES_LINE, Words as _};
use serde::{Serialize, Serializer};

use crate::model::policy::{Service, ServiceProtocol};

/// The ports that only the new policy exempts, and those that only the old one exempts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ServiceChange {
    #[serde(serialize_with = "texts")]
    pub opened: Vec<Service>,
    #[serde(serialize_with = "texts")]
    pub closed: Vec<Service>,
}

impl ServiceChange {
    pub(super) fn new(before: &[u32], after: &[u32]) -> Self {
        let mut change = Self::default();
        for (protocol, section) in [
            (ServiceProtocol::Tcp, TCP_SERVICES_LINE),
            (ServiceProtocol::Udp, UDP_SERVICES_LINE),
        ] {
            for port in 1..=u16::MAX {
                // Mail and other services differ in the reason that is counted, not in the verdict.
                let [before, after] = [before, after]
                    .map(|words| words.port_rule(section as u32, port))
                    .map(|it| matches!(it, Some(PortRule::Mail | PortRule::Service)));
                match (before, after) {
                    (false, true) => add(&mut change.opened, protocol, port),
                    (true, false) => add(&mut change.closed, protocol, port),
                    (true, true) | (false, false) => {}
                }
            }
        }
        change
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.opened.is_empty() && self.closed.is_empty()
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
