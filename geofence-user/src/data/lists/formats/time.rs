//! Times as JSON formats write them.

use jiff::Timestamp;

/// The seconds since 1970 of a time in RFC 3339; times before that count as zero.
pub(super) fn unix_seconds(text: &str) -> Option<u64> {
    let time: Timestamp = without_fraction(text).parse().ok()?;
    Some(u64::try_from(time.as_second()).unwrap_or(0))
}

/// The time without the fraction of its second, which may have any number of digits.
fn without_fraction(text: &str) -> String {
    let Some((start, rest)) = text.split_once('.') else {
        return text.to_owned();
    };
    let zone = rest.trim_start_matches(|letter: char| letter.is_ascii_digit());
    // A point without digits is no fraction.
    if zone.len() == rest.len() {
        return text.to_owned();
    }
    format!("{start}{zone}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fraction_of_a_second_has_any_number_of_digits() {
        for text in [
            "2027-01-15T08:00:00Z",
            "2027-01-15T08:00:00.5Z",
            "2027-01-15T08:00:00.123456789012345678Z",
            "2027-01-15T09:00:00.1234567890+01:00",
        ] {
            assert_eq!(unix_seconds(text), Some(1_800_000_000), "{text}");
        }
        for wrong in ["", "2027", "2027-01-15T08:00:00.Z", "2027-01-15T08:00:00.x"] {
            assert_eq!(unix_seconds(wrong), None, "{wrong}");
        }
    }
}
