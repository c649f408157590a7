//! Pressure: how much one source of a blocked country may send to the services that stay open.
//!
//! A bucket is kept as the moment at which it will be full again (the generic cell rate algorithm): one number, which a
//! packet moves on by its share of a second. A bucket that is full again says the same as none, so the table may forget
//! it. Of two CPUs that serve one source at the same moment one may be forgotten; nobody is refused by that.

use crate::address::Address;

const SECOND: u64 = 1_000_000_000;

/// How much a bucket holds, in time: a source that was silent may send two seconds' worth at once.
pub const DEPTH: u64 = 2 * SECOND;

/// Whom a bucket belongs to: an IPv4 address, or the first half of an IPv6 address, which one subscriber has at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct RateLimitKey {
    pub network: u64,
    /// 1 for IPv6, 0 for IPv4.
    pub is_v6: u64,
}

impl RateLimitKey {
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

/// Takes one packet out of a bucket that will be full at this moment, where a source may send this many a second. Says
/// when it will then be full, or nothing if it is empty.
#[must_use]
#[inline(always)]
pub fn try_acquire(full: u64, now: u64, rate: u32) -> Option<u64> {
    let from = if full > now { full } else { now };
    let next = from + SECOND / (if rate == 0 { 1 } else { rate as u64 });
    if next <= now + DEPTH {
        Some(next)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_gets_its_rate_and_no_more() {
        const RATE: u32 = 100;
        let (mut full, mut passed) = (0, 0);
        // A thousand packets a second for ten seconds.
        for number in 0..10_000_u64 {
            let now = SECOND * 60 + number * SECOND / 1000;
            if let Some(next) = try_acquire(full, now, RATE) {
                full = next;
                passed += 1;
            }
        }
        assert!((1_195..=1_205).contains(&passed), "{passed}");
    }

    #[test]
    fn a_source_within_its_rate_is_never_refused() {
        let mut full = 0;
        for number in 1..10_000_u64 {
            full = try_acquire(full, number * SECOND / 100, 100).unwrap();
        }
    }

    #[test]
    fn a_bucket_is_one_host_or_one_subscriber() {
        let key = |text: &str| RateLimitKey::of(&text.parse::<core::net::IpAddr>().unwrap().into());
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:0:0:1"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_ne!(key("0.0.0.0"), key("::"));
    }
}
