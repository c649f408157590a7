//! The rule that no text marks unfinished work.

use super::finding::{Finding, finding};
use super::source::has_word;

/// Marks of unfinished work, in pieces so that this file has none.
const UNFINISHED: [&str; 4] = [
    concat!("to", "do!"),
    concat!("unimplem", "ented!"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
];

/// Checks one file.
pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        for mark in UNFINISHED
            .into_iter()
            .filter(|mark| has_word(line, mark.trim_end_matches('!')) && line.contains(mark))
        {
            let rule = format!("{mark} marks unfinished work: finish it or leave it out");
            findings.push(finding(path, number, &rule));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::assert_one;

    #[test]
    fn unfinished_work_is_refused_in_any_text() {
        for mark in UNFINISHED {
            let found = check("docs/a.md", &format!("fine\nwell, {mark} later\n"));
            assert_one(&found, &format!("docs/a.md:2: {mark}"));
        }
    }

    #[test]
    fn similar_words_are_kept() {
        let harmless = format!(
            "a {} list, {}X, lint {} = \"warn\"",
            concat!("to", "do"),
            concat!("XX", "X"),
            concat!("to", "do")
        );
        assert!(check("docs/a.md", &harmless).is_empty());
    }
}
