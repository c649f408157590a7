//! Durations as people and tools write them: `90s`, `12h`, `7d`, `1d2h30m`, `3h59m58.5s`.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo};

/// The units that a duration may have. jiff reads more: long names, months, years, signs and spaces.
const UNITS: [&str; 9] = ["ns", "us", "µs", "ms", "s", "m", "h", "d", "w"];

/// Reads a duration, to the millisecond; nothing if it is none.
#[must_use]
pub fn parse(text: &str) -> Option<Duration> {
    let mut words = text.split(|c: char| c.is_ascii_digit() || c == '.');
    if !words.all(|word| word.is_empty() || UNITS.contains(&word)) {
        return None;
    }
    let span: Span = text.parse().ok()?;
    let exact = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    let milliseconds = exact.as_millis().try_into().ok()?;
    Some(Duration::from_millis(milliseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_people_and_of_tools() {
        for (text, milliseconds) in [
            ("90s", 90_000),
            ("0s", 0),
            ("12h", 43_200_000),
            ("7d", 604_800_000),
            ("1w", 604_800_000),
            ("1d2h30m", 95_400_000),
            ("3h59m58.5s", 14_398_500),
            ("1m48.728998974s", 108_728),
            ("250ms", 250),
        ] {
            assert_eq!(
                parse(text),
                Some(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
        for text in [
            "",
            "7",
            "d",
            "7 d",
            "-7d",
            "7days",
            "1.2.3s",
            ".s",
            "9999999999999w",
            "7D",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
