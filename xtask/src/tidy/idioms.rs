//! The rule that text uses the words of the field: a list of private idioms, each with what to write instead.
//!
//! Covers code, comments and strings of Rust, Markdown and TOML. An identifier counts as its words, so `at_hand` is
//! refused like "at hand".

use super::finding::{Finding, finding, matches};

/// Idioms and what to write instead.
const IDIOMS: [(&str, &str); 41] = [
    ("whoever", "the actor: the client, the operator, the sender"),
    (
        "whomever",
        "the actor: the client, the operator, the sender",
    ),
    ("somebody", "the actor: a client, an operator, a sender"),
    ("nobody", "no client, no operator, nothing"),
    ("told", "reported, logged, recorded, given"),
    ("tell of", "report"),
    ("tells of", "reports"),
    ("telling of", "reporting"),
    ("held against", "compared with, checked against"),
    ("hold against", "compare with, check against"),
    ("holds against", "compares with, checks against"),
    ("at hand", "cached, available, present"),
    ("lapse", "expire"),
    ("lapses", "expires"),
    ("lapsed", "expired"),
    ("lapsing", "expiring"),
    (
        "crowd",
        "the connections, the connection limit, many clients",
    ),
    ("crowds", "the connections, many clients"),
    ("so much the", "the consequence itself: this is faster"),
    ("wishes", "options, what the operator asked for"),
    ("aside", "separately; run_blocking for work off the runtime"),
    (
        "believe",
        "accept; the sanity check accepts or rejects data",
    ),
    (
        "believes",
        "accepts; the sanity check accepts or rejects data",
    ),
    (
        "believed",
        "accepted; the sanity check accepts or rejects data",
    ),
    ("disbelieved", "rejected by the sanity check"),
    ("come to rest", "been unchanged, settled"),
    ("comes to rest", "is unchanged, settles"),
    ("into use", "activates, loads, puts in place"),
    ("makes room", "is closed, is evicted"),
    ("make room", "close, evict"),
    ("is heard", "is served, is received"),
    ("are heard", "are served, are received"),
    ("became of them", "the outcome: passed or dropped"),
    ("lately", "recently; now_coarse for the clock"),
    ("amend", "update"),
    ("amends", "updates"),
    ("amended", "updated"),
    ("second opinion", "cross-check"),
    ("second opinions", "cross-checks"),
    ("taken back", "removed, reverted"),
    ("takes back", "removes, reverts"),
];

/// A line that may keep an idiom.
struct Allowed {
    /// A star stands for any ending.
    path: &'static str,
    /// What the line contains.
    text: &'static str,
    #[expect(dead_code, reason = "for the reader of the list")]
    reason: &'static str,
}

const fn allow(path: &'static str, text: &'static str, reason: &'static str) -> Allowed {
    Allowed { path, text, reason }
}

const ALLOWED: [Allowed; 10] = [
    allow("xtask/src/tidy/idioms.rs", "", "the list itself"),
    allow("docs/glossary.md", "", "names the old words beside the new"),
    allow("*", "\"lapsed\"", "a key and a value of the JSON output"),
    allow("*", "`lapsed`", "a key and a value of the JSON output"),
    allow("*", "\"lapsing\"", "a key of the JSON output"),
    allow("*", "`lapsing`", "a key of the JSON output"),
    allow("*", "geofence_exceptions_lapsing", "a metric"),
    allow(
        "*",
        "second-opinion",
        "the former spelling of a configuration key, still accepted",
    ),
    allow("*", "\"second_opinion\"", "a key of the JSON output"),
    allow("*", "user(\"nobody\")", "a Unix user"),
];

/// A word in lower case.
struct Word {
    text: String,
    line: usize,
    /// Whether punctuation stands between this word and the one before.
    is_apart: bool,
}

/// Checks one file.
pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    if ![".rs", ".md", ".toml"]
        .iter()
        .any(|kind| path.ends_with(kind))
    {
        return Vec::new();
    }
    let lines: Vec<&str> = text.lines().collect();
    let words = words(&lines);
    let mut findings = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let found = IDIOMS
            .iter()
            .find(|(idiom, _)| begins_with(&words[at..], idiom));
        let Some((idiom, substitute)) = found else {
            continue;
        };
        if !is_allowed(path, lines[word.line - 1]) {
            let rule = format!("\"{idiom}\" is a private idiom: write {substitute}");
            findings.push(finding(path, word.line, &rule));
        }
    }
    findings
}

fn is_allowed(path: &str, line: &str) -> bool {
    ALLOWED
        .iter()
        .any(|allowed| matches(allowed.path, path) && line.contains(allowed.text))
}

fn begins_with(words: &[Word], idiom: &str) -> bool {
    let mut wanted = idiom.split(' ').enumerate();
    wanted.all(|(at, wanted)| {
        words
            .get(at)
            .is_some_and(|word| word.text == wanted && (at == 0 || !word.is_apart))
    })
}

/// Splits lines into words, each word of an identifier by itself.
fn words(lines: &[&str]) -> Vec<Word> {
    let mut words = Vec::new();
    let mut is_apart = true;
    for (line, text) in (1..).zip(lines) {
        let mut rest = without_leader(text);
        while let Some(first) = rest.chars().next() {
            let length = rest
                .find(|letter: char| !letter.is_alphanumeric())
                .unwrap_or(rest.len());
            if length == 0 {
                is_apart |= !matches!(first, ' ' | '\t' | '_');
                rest = &rest[first.len_utf8()..];
                continue;
            }
            let (word, after) = rest.split_at(length);
            words.push(Word {
                text: word.to_lowercase(),
                line,
                is_apart,
            });
            is_apart = false;
            rest = after;
        }
        is_apart |= text.trim().is_empty();
    }
    words
}

/// Leaves out what marks a line as a comment, a quotation or an item of a list, so that a sentence runs on.
fn without_leader(line: &str) -> &str {
    line.trim_start()
        .trim_start_matches(['/', '!', '#', '>', '*', '-', '|', ' '])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::assert_one;

    #[test]
    fn every_idiom_is_refused_with_its_substitute() {
        for (idiom, substitute) in IDIOMS {
            let found = check("docs/a.md", &format!("Fine.\nThen {idiom} here.\n"));
            let expected =
                format!("docs/a.md:2: \"{idiom}\" is a private idiom: write {substitute}");
            assert_one(&found, &expected);
        }
    }

    #[test]
    fn idioms_are_refused_in_comments_strings_and_identifiers() {
        for text in [
            "// Whoever comes last.\n",
            "const A: &str = \"it was told\";\n",
            "fn flows_at_hand() {}\n",
            "/// The flow is at\n/// hand.\nfn f() {}\n",
            "let crowd = 1;\n",
        ] {
            let found = check("xtask/src/a.rs", text);
            assert_one(&found, "xtask/src/a.rs:1: ");
        }
        assert_one(
            &check("Cargo.toml", "# Nobody reads it.\n"),
            "Cargo.toml:1: ",
        );
    }

    #[test]
    fn similar_words_are_kept() {
        for text in [
            "CrowdSec lists, a bold toldo, an elapsed hour, untold",
            "look at the left hand; look at. Hand it over",
            "at\n\nhand",
            "held. Against all odds",
        ] {
            assert!(check("docs/a.md", text).is_empty(), "{text}");
        }
        assert!(check("deploy/a.service", "# nobody\n").is_empty());
    }

    #[test]
    fn allowed_lines_are_kept() {
        assert!(check("tests/src/a.rs", "let user = user(\"nobody\")?;\n").is_empty());
        assert!(check("docs/glossary.md", "| crowd | connection limit |\n").is_empty());
        assert!(check("docs/a.md", "| `geofence_exceptions_lapsing` | soon |\n").is_empty());
    }
}
