//! Units that the whole crate shares, so that a number cannot be taken for one of another kind.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::Offset;
use serde::{Deserialize, Serialize};

/// A wall-clock time: whole seconds since 1970-01-01 00:00:00 UTC.
///
/// It displays as RFC 3339 in UTC: `2026-06-01T12:00:00Z`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct UnixSeconds(pub u64);

impl UnixSeconds {
    /// The current time; zero if the clock is set before 1970.
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self(since.map_or(0, |since| since.as_secs()))
    }

    /// The time this much later.
    #[must_use]
    pub const fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_secs()))
    }

    /// The time this much earlier.
    #[must_use]
    pub const fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration.as_secs()))
    }

    /// The time from `earlier` to this one; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }

    /// The whole days from `earlier` to this time.
    #[must_use]
    pub const fn days_since(self, earlier: Self) -> u64 {
        self.since(earlier).as_secs() / 86_400
    }

    /// The day in UTC: `2026-06-01`.
    #[must_use]
    pub fn date(self) -> String {
        self.timestamp().map_or_else(
            || self.0.to_string(),
            |time| Offset::UTC.to_datetime(time).date().to_string(),
        )
    }

    fn timestamp(self) -> Option<Timestamp> {
        Timestamp::from_second(i64::try_from(self.0).ok()?).ok()
    }
}

impl fmt::Display for UnixSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.timestamp() {
            Some(time) => time.fmt(f),
            None => self.0.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn date_is_the_day_in_utc() {
        for (seconds, text) in [
            (0, "1970-01-01"),
            (951_782_399, "2000-02-28"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_735_689_599, "2024-12-31"),
            (4_107_542_400, "2100-03-01"),
        ] {
            assert_eq!(UnixSeconds(seconds).date(), text);
        }
    }

    #[test]
    fn display_is_rfc_3339_or_the_number_where_no_calendar_reaches() {
        assert_eq!(
            UnixSeconds(1_800_000_000).to_string(),
            "2027-01-15T08:00:00Z"
        );
        assert_eq!(UnixSeconds(u64::MAX).to_string(), u64::MAX.to_string());
    }
}
