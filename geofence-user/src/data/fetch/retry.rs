//! How long a server asks to be left alone.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;

/// The longest time that is honoured: a server that asks for more has probably counted wrongly.
const WAIT_MAX: Duration = Duration::from_secs(7 * 86_400);

/// Reads the header `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3).
pub(super) fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds).min(WAIT_MAX));
    }
    let until = rfc2822::parse(text).ok()?.timestamp();
    let wait = until.duration_since(now);
    wait.is_positive()
        .then(|| wait.unsigned_abs().min(WAIT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "1994-11-06T08:49:00Z".parse().unwrap();
        for (text, wait) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("99999999999", Some(7 * 86_400)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(37)),
            ("Sun, 06 Nov 1994 08:48:37 GMT", None),
            ("-5", None),
            ("soon", None),
        ] {
            let found = retry_after(text, now);
            assert_eq!(found.map(|wait| wait.as_secs()), wait, "{text}");
        }
    }
}
