//! Numbers and spellings as people read and write them.

use std::error::Error;
use std::fmt::Write as _;

/// An error, with the causes behind it that its own text does not have.
#[must_use]
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(one) = cause {
        let more = one.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = one.source();
    }
    text
}

/// Digits in groups of three: `1,367,495`.
#[must_use]
pub fn grouped(number: impl Into<u128>) -> String {
    let digits = number.into().to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// How long ago something was, in days: `today`, `1 day ago`, `12 days ago`.
#[must_use]
pub fn days_ago(days: u64) -> String {
    match days {
        0 => "today".to_owned(),
        1 => "1 day ago".to_owned(),
        _ => format!("{days} days ago"),
    }
}

/// The text with every character escaped that would steer a terminal or change the direction of writing, as JSON and
/// TOML escape them. Lines stay.
#[must_use]
pub fn printable(text: &str) -> String {
    let steers = |letter: char| {
        let is_control = letter.is_control() && letter != '\n' && letter != '\t';
        let is_direction = matches!(
            letter,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        );
        is_control || is_direction
    };
    if !text.contains(steers) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if steers(letter) {
            // Writing to a string cannot fail.
            _ = write!(out, "\\u{:04x}", u32::from(letter));
        } else {
            out.push(letter);
        }
    }
    out
}

/// The candidate that looks most like the text, when one looks enough like it; case and `_` make no difference.
pub fn nearest<'a>(text: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let plain = text.trim().to_lowercase().replace(['_', ' '], "-");
    // Words that share a beginning or differ in a letter or two; measured on the keys and words there are.
    const ALIKE: f64 = 0.8;
    let score = |candidate: &str| match strsim::damerau_levenshtein(&plain, candidate) {
        // One slip in a word of three letters already looks like another word to the other measure.
        0 | 1 => 1.0,
        _ => strsim::jaro_winkler(&plain, candidate),
    };
    candidates
        .map(|candidate| (score(candidate), candidate))
        .filter(|(score, _)| *score >= ALIKE)
        .max_by(|(one, _), (two, _)| one.total_cmp(two))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_steer_a_terminal_are_escaped() {
        assert_eq!(printable("a b\té\n"), "a b\té\n");
        let steering = "\u{1b}[2J\u{202e}txt\r\u{9b}";
        assert_eq!(printable(steering), r"\u001b[2J\u202etxt\u000d\u009b");
    }

    #[test]
    fn days_ago_has_words_for_today_and_one_day() {
        assert_eq!(
            [0, 1, 2].map(days_ago),
            ["today", "1 day ago", "2 days ago"]
        );
    }

    #[test]
    fn digits_are_grouped_from_the_right() {
        for (number, text) in [
            (0_u64, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }
}
