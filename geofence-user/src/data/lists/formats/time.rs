//! Times as JSON formats write them.

use jiff::Timestamp;

/// The seconds since 1970 of a time in RFC 3339; times before that count as zero.
pub(super) fn unix_seconds(text: &str) -> Option<u64> {
    let time: Timestamp = text.parse().ok()?;
    Some(u64::try_from(time.as_second()).unwrap_or(0))
}
