//! Durations as people and tools write them: `90s`, `12h`, `7d`, `1d2h30m`, `3h59m58.5s`.

use std::time::Duration;

/// Units, and the milliseconds in each.
const UNITS: [(&str, f64); 9] = [
    ("ns", 1e-6),
    ("us", 1e-3),
    ("µs", 1e-3),
    ("ms", 1.0),
    ("s", 1e3),
    ("m", 60e3),
    ("h", 3_600e3),
    ("d", 86_400e3),
    ("w", 604_800e3),
];

/// Reads a duration, to the millisecond; nothing if it is none.
#[must_use]
pub fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut milliseconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let end = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let unit = rest.get(..end)?;
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        milliseconds += number * factor;
        rest = rest.get(end..)?;
    }
    let is_fit = !text.is_empty() && milliseconds < 1e15;
    is_fit.then(|| Duration::from_millis(milliseconds as u64))
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
