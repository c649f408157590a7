//! The verdict about one packet: the reason, the country, the action, and what the counters need.

use crate::action::{Action, Mode, Reason, counter};
use crate::country::Country;
use crate::image::list_set::Peer;

/// The verdict about one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub reason: Reason,
    pub country: Country,
    pub action: Action,
    /// The number of the tenant it was sent to, 0 for none.
    pub tenant: u32,
    /// The slot plus one of the exception or access that passed it, or of the ban that dropped it; 0 for none.
    pub exception: u32,
    /// The source as lists see it.
    pub peer: Peer,
}

impl Verdict {
    /// The verdict while no image is in place.
    pub const NO_POLICY: Self = Self {
        reason: Reason::NoPolicy,
        country: Country::NONE,
        action: Action::Pass,
        tenant: 0,
        exception: 0,
        peer: Peer::NONE,
    };

    /// A verdict for this reason. Monitor mode passes what enforce mode would drop, and keeps the reason.
    #[must_use]
    pub const fn new(reason: Reason, country: Country, mode: Mode) -> Self {
        let action = match mode {
            Mode::Enforce => reason.action(),
            Mode::Monitor => Action::Pass,
        };
        Self {
            reason,
            country,
            action,
            tenant: 0,
            exception: 0,
            peer: Peer::NONE,
        }
    }

    /// The same verdict, for this tenant and exception.
    #[must_use]
    pub const fn with_tenant_and_exception(self, tenant: u32, exception: u32) -> Self {
        Self {
            tenant,
            exception,
            ..self
        }
    }

    /// The same verdict, about a packet from this peer.
    #[must_use]
    pub const fn with_peer(self, peer: Peer) -> Self {
        Self { peer, ..self }
    }

    /// The position of this verdict's counter among a country's counters.
    #[must_use]
    pub const fn counter(self) -> usize {
        counter(self.reason, self.action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monitor_mode_passes_and_keeps_the_reason() {
        let verdict = Verdict::new(Reason::CountryBlocked, Country::NONE, Mode::Monitor);
        assert_eq!(
            (verdict.action, verdict.reason),
            (Action::Pass, Reason::CountryBlocked)
        );
    }
}
