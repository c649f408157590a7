//! When to try again what failed: soon after something changed, and otherwise after pauses that grow.
//!
//! Some drivers reset the device for each program that they refuse, so an attempt is not free.

use std::time::{Duration, Instant};

use crate::model::interface::Interface;
use crate::model::link_type::LinkType;

/// The first pause; each is twice the one before.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// Pauses between attempts.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::up_to(LONGEST)
    }
}

impl Backoff {
    /// Pauses that grow to this one.
    #[must_use]
    pub const fn up_to(longest: Duration) -> Self {
        Self {
            next: FIRST,
            longest,
        }
    }

    /// The next pause.
    pub fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        pause
    }
}

/// What decides whether a driver takes the program, as far as the kernel reports it.
type Facts = (u32, LinkType, u32, bool, u32, u32);

/// The attempts to attach the filter to one interface.
#[derive(Clone, Debug, Default)]
pub(super) struct Attempts {
    backoff: Backoff,
    /// When the last attempt failed, the pause from then on, and what the interface was like.
    failed: Option<(Instant, Duration, Facts)>,
}

impl Attempts {
    /// Whether it is time for an attempt.
    pub(super) fn is_due(&self, interface: &Interface, now: Instant) -> bool {
        let Some((at, pause, facts)) = self.failed else {
            return true;
        };
        let pause = if facts == facts_of(interface) {
            pause
        } else {
            FIRST
        };
        now.saturating_duration_since(at) >= pause
    }

    /// Records that an attempt failed.
    pub(super) fn fail(&mut self, interface: &Interface, now: Instant) {
        let facts = facts_of(interface);
        if self.failed.is_some_and(|(_, _, before)| before != facts) {
            self.backoff = Backoff::default();
        }
        self.failed = Some((now, self.backoff.pause(), facts));
    }

    /// Records that none is needed any more.
    pub(super) fn succeed(&mut self) {
        *self = Self::default();
    }
}

fn facts_of(interface: &Interface) -> Facts {
    (
        interface.index,
        interface.link_type,
        interface.mtu,
        interface.is_up,
        interface.queues_rx,
        interface.queues_tx,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u64> = (0..7).map(|_| backoff.pause().as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
    }

    #[test]
    fn interface_that_changed_is_tried_after_the_first_pause() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut interface = Interface::default();
        let mut attempts = Attempts::default();
        assert!(attempts.is_due(&interface, start));
        attempts.fail(&interface, start);
        assert!(!attempts.is_due(&interface, start));
        assert!(attempts.is_due(&interface, after(1)));
        attempts.fail(&interface, after(1));
        assert!(!attempts.is_due(&interface, after(2)));
        interface.mtu = 1500;
        assert!(attempts.is_due(&interface, after(2)));
        attempts.fail(&interface, after(2));
        assert!(
            attempts.is_due(&interface, after(3)),
            "the pauses begin anew"
        );
        attempts.succeed();
        assert!(attempts.is_due(&interface, start));
    }
}
