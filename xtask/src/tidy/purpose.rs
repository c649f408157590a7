//! The rule that a Rust file opens with what it is for.

use super::finding::{Finding, finding};

/// Checks one Rust file.
pub(super) fn check(path: &str, text: &str) -> Option<Finding> {
    let rule = "does not open with a `//!` paragraph saying what the file is for";
    (!opens_with_purpose(text)).then(|| finding(path, 1, rule))
}

/// Decides whether only the file's own attributes come before its `//!` paragraph.
fn opens_with_purpose(text: &str) -> bool {
    let mut open_brackets = 0_usize;
    for line in text.lines().map(str::trim) {
        if open_brackets == 0 && line.starts_with("//!") {
            return true;
        }
        if open_brackets == 0 && !line.is_empty() && !line.starts_with("#![") {
            return false;
        }
        open_brackets =
            (open_brackets + line.matches('[').count()).saturating_sub(line.matches(']').count());
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purpose_may_follow_attributes_only() {
        for text in [
            "//! For this.\nfn f() {}\n",
            "#![no_std]\n#![no_main]\n\n//! For this.\n",
            "#![expect(\n    unsafe_code,\n    reason = \"[so]\"\n)]\n//! For this.\n",
        ] {
            assert_eq!(check("xtask/src/a.rs", text), None, "{text}");
        }
    }

    #[test]
    fn a_file_without_purpose_is_refused() {
        for text in [
            "fn f() {}\n//! Late.\n",
            "// Not about the file.\nfn f() {}\n",
            "",
        ] {
            let found = check("xtask/src/a.rs", text).unwrap();
            assert!(
                found
                    .to_string()
                    .starts_with("xtask/src/a.rs:1: does not open")
            );
        }
    }
}
