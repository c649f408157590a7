//! The rules on how wide and how long a file may be.

use super::finding::{Finding, finding};

/// The longest line of Rust.
const COLUMNS_MAX: usize = 120;

/// The longest file for each kind; a kind is how the path ends.
const LINES_MAX: [(&str, usize); 3] = [(".rs", 450), ("README.md", 200), ("ARCHITECTURE.md", 150)];

/// Checks the width of one Rust file.
pub(super) fn columns(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let columns = line.chars().count();
        if columns > COLUMNS_MAX {
            let rule = format!("{columns} columns, more than {COLUMNS_MAX}");
            findings.push(finding(path, number, &rule));
        }
    }
    findings
}

/// Checks the length of one file.
pub(super) fn lines(path: &str, text: &str) -> Option<Finding> {
    let max = lines_max(path)?;
    let lines = text.lines().count();
    let rule = format!("{lines} lines, more than {max}: split the file");
    (lines > max).then(|| finding(path, max + 1, &rule))
}

/// A page counts at the root only: docs/README.md is an index.
fn lines_max(path: &str) -> Option<usize> {
    let limit = LINES_MAX
        .iter()
        .find(|(kind, _)| path == *kind || kind.starts_with('.') && path.ends_with(kind));
    limit.map(|(_, max)| *max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::assert_one;

    #[test]
    fn a_line_of_120_columns_is_kept_and_one_of_121_refused() {
        let line = |columns: usize| format!("\n// {}\n", "é".repeat(columns - 3));
        assert!(columns("xtask/src/a.rs", &line(120)).is_empty());
        assert_one(
            &columns("xtask/src/a.rs", &line(121)),
            "xtask/src/a.rs:2: 121 columns",
        );
    }

    #[test]
    fn a_file_of_450_lines_is_kept_and_one_of_451_refused() {
        assert_eq!(lines("xtask/src/a.rs", &"\n".repeat(450)), None);
        let found = lines("xtask/src/a.rs", &"\n".repeat(451)).unwrap();
        assert_eq!(
            found.to_string(),
            "xtask/src/a.rs:451: 451 lines, more than 450: split the file"
        );
    }

    #[test]
    fn pages_at_the_root_have_limits_of_their_own() {
        let long = "\n".repeat(201);
        assert!(lines("README.md", &long).is_some());
        assert!(lines("ARCHITECTURE.md", &long).is_some());
        assert_eq!(lines("docs/README.md", &long), None);
        assert_eq!(lines("docs/guide.md", &"\n".repeat(2000)), None);
    }
}
