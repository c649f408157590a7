//! Rate limits, by the generic cell rate algorithm (GCRA, ITU-T I.371): one for each source of a blocked country that
//! uses an exempted service, one for DHCP from public space, one for the events of each list, and one for the samples
//! of each reason.
//!
//! The state is one number, the moment at which the whole burst is available again. Each packet moves it on by its
//! share of a second. A state in the past allows the whole burst, and so does a missing state, so a table may evict it.
//! If two CPUs acquire at the same moment, one of the packets may not be counted; no packet is refused for that.

use crate::address::Address;

const SECOND: u64 = 1_000_000_000;

/// The key of a source's limit: an IPv4 address, or the first half of an IPv6 address, which is the least that one
/// subscriber has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct RateLimitKey {
    pub network: u64,
    /// 1 for IPv6, 0 for IPv4, 2 for a limit of all sources.
    pub is_v6: u64,
}

impl RateLimitKey {
    /// The key of DHCP answers from public space, all sources together.
    pub(crate) const DHCP: Self = Self {
        network: 0,
        is_v6: 2,
    };

    #[must_use]
    #[inline(always)]
    pub fn of(source: &Address) -> Self {
        let [network, _] = source.words();
        Self {
            network,
            is_v6: u64::from(source.is_v6()),
        }
    }
}

/// A limit: a rate, and how much may come at once. Both are in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct RateLimit {
    /// The time one packet takes at the rate.
    interval: u64,
    /// The time the whole burst takes at the rate.
    burst: u64,
}

impl RateLimit {
    /// The events of one list: 50 at once and 50 a second after that, so at most 100 in any second.
    pub const EVENTS: Self = Self {
        interval: SECOND / 50,
        burst: SECOND,
    };

    /// Nothing at all. `try_acquire` is not to be asked.
    pub const OFF: Self = Self {
        interval: 0,
        burst: 0,
    };

    /// So many a second, of which a second's worth may come at once.
    #[must_use]
    pub const fn per_second(rate: u32) -> Self {
        let rate = if rate == 0 { 1 } else { rate as u64 };
        Self {
            interval: SECOND / rate,
            burst: SECOND,
        }
    }

    #[must_use]
    #[inline(always)]
    pub const fn is_off(self) -> bool {
        self.interval == 0
    }

    /// DHCP answers from public space: ten a second, twenty at once. A lease takes two.
    pub(crate) const DHCP: Self = Self {
        interval: SECOND / 10,
        burst: 2 * SECOND,
    };

    /// The packets of one source, at this many a second. A silent source may send two seconds' worth at once.
    #[must_use]
    #[inline(always)]
    pub const fn of_source(packets_per_second: u32) -> Self {
        let rate = if packets_per_second == 0 {
            1
        } else {
            packets_per_second as u64
        };
        Self {
            interval: SECOND / rate,
            burst: 2 * SECOND,
        }
    }

    /// Takes one packet from the limit in this state. Returns the new state, or nothing if the limit is exceeded.
    #[must_use]
    #[inline(always)]
    pub const fn try_acquire(self, full_at: u64, now: u64) -> Option<u64> {
        let from = if full_at > now { full_at } else { now };
        let next = from.wrapping_add(self.interval);
        if next <= now.wrapping_add(self.burst) {
            Some(next)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_gets_its_rate_and_its_burst() {
        const RATE: u32 = 100;
        let (mut full, mut passed) = (0, 0);
        // A thousand packets a second for ten seconds.
        for number in 0..10_000_u64 {
            let now = SECOND * 60 + number * SECOND / 1000;
            if let Some(next) = RateLimit::of_source(RATE).try_acquire(full, now) {
                full = next;
                passed += 1;
            }
        }
        assert!((1_195..=1_205).contains(&passed), "{passed}");
    }

    #[test]
    fn source_within_its_rate_is_never_limited() {
        let mut full = 0;
        for number in 1..10_000_u64 {
            full = RateLimit::of_source(100)
                .try_acquire(full, number * SECOND / 100)
                .unwrap();
        }
    }

    #[test]
    fn key_is_one_ipv4_host_or_one_ipv6_subscriber() {
        let key = |text: &str| RateLimitKey::of(&text.parse::<core::net::IpAddr>().unwrap().into());
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:0:0:1"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_ne!(key("0.0.0.0"), key("::"));
    }

    #[test]
    fn list_sends_at_most_a_hundred_events_in_any_second() {
        let mut full = 0;
        let mut sent = Vec::new();
        // Silence, then a flood of ten thousand packets a second, for five seconds.
        for number in 0..50_000_u64 {
            let now = 60 * SECOND + number * SECOND / 10_000;
            if let Some(next) = RateLimit::EVENTS.try_acquire(full, now) {
                full = next;
                sent.push(now);
            }
        }
        let most = sent.iter().map(|start| {
            let within = |one: &&u64| (*start..*start + SECOND).contains(*one);
            sent.iter().filter(within).count()
        });
        let most = most.max().unwrap();
        assert!((95..=100).contains(&most), "{most}");
        assert!((295..=305).contains(&sent.len()), "{}", sent.len());
        // One a minute is always sent.
        assert!((1..100).all(|minute| {
            RateLimit::EVENTS
                .try_acquire(full, 120 * SECOND * minute)
                .is_some()
        }));
    }
}
