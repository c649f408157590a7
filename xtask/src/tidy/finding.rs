//! What a rule finds, and the patterns of paths that rules are about.

use std::fmt;

/// One breach of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(super) path: String,
    /// Counted from 1.
    line: usize,
    rule: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.rule)
    }
}

/// A finding of one rule.
pub(crate) fn finding(path: &str, line: usize, rule: &str) -> Finding {
    Finding {
        path: path.to_owned(),
        line,
        rule: rule.to_owned(),
    }
}

/// Compares a path with a pattern whose last star stands for any ending.
pub(super) fn matches(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => path.starts_with(start),
        None => path == pattern,
    }
}

/// Asserts that there is one finding and how it begins.
#[cfg(test)]
pub(crate) fn assert_one(found: &[Finding], expected: &str) {
    assert!(
        found.len() == 1 && found[0].to_string().starts_with(expected),
        "{found:?} is not one finding {expected}"
    );
}
