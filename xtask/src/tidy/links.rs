//! The rule that links between files of the repository lead somewhere, headings included.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::{Finding, finding};

/// Checks the links in pages, given as paths and texts; `paths` are all files of the repository.
pub(super) fn check(paths: &[String], pages: &[(String, String)]) -> Vec<Finding> {
    let known: BTreeSet<String> = paths
        .iter()
        .flat_map(|path| with_directories(path))
        .collect();
    let headings: BTreeMap<&str, BTreeSet<String>> = pages
        .iter()
        .map(|(path, text)| (path.as_str(), anchors(text)))
        .collect();
    let mut findings = Vec::new();
    for (path, text) in pages {
        for (line, target) in links(text) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let Some(file) = resolve(path, file) else {
                findings.push(finding(
                    path,
                    line,
                    &format!("links outside the repository: {target}"),
                ));
                continue;
            };
            let is_heading = match headings.get(file.as_str()) {
                Some(headings) => anchor.is_empty() || headings.contains(anchor),
                None => true,
            };
            if !known.contains(&file) || !is_heading {
                findings.push(finding(path, line, &format!("links to nothing: {target}")));
            }
        }
    }
    findings
}

/// The lines of a page that are prose.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_code = false;
    text.lines().enumerate().filter_map(move |(at, line)| {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
            return None;
        }
        (!is_code).then_some((at + 1, line))
    })
}

/// The targets of links to files and headings, with their lines.
pub(crate) fn links(text: &str) -> impl Iterator<Item = (usize, &str)> {
    prose(text).flat_map(|(at, line)| {
        let targets = line
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split_once(')'));
        let local = targets
            .map(|(target, _)| target)
            .filter(|target| !target.contains(':'));
        local.map(move |target| (at, target))
    })
}

/// The names that the headings of a page have as targets of links, as GitHub and mdBook make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text).filter(|(_, line)| line.starts_with('#'));
    headings
        .map(|(_, line)| anchor(line.trim_start_matches('#')))
        .collect()
}

fn anchor(heading: &str) -> String {
    let letters = heading.trim().to_lowercase();
    let letters = letters.chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        letter if letter.is_alphanumeric() || "-_".contains(letter) => Some(letter),
        _ => None,
    });
    letters.collect()
}

/// Where a link leads, from the root of the repository; nothing if it leads out of it.
pub(crate) fn resolve(page: &str, target: &str) -> Option<String> {
    if target.is_empty() {
        return Some(page.to_owned());
    }
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in target.trim_end_matches('/').split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

fn with_directories(path: &str) -> Vec<String> {
    let ends = path
        .match_indices('/')
        .map(|(at, _)| at)
        .chain([path.len()]);
    ends.map(|end| path[..end].to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(page: &str) -> Vec<String> {
        let paths = ["docs/a.md", "docs/b.md", "deploy/x/y.yml"].map(str::to_owned);
        let pages = [("docs/a.md", page), ("docs/b.md", "# One `two`: three\n")];
        let pages = pages.map(|(path, text)| (path.to_owned(), text.to_owned()));
        check(&paths, &pages)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn links_that_lead_somewhere_pass() {
        let page = "## Here\n[a](b.md) [b](b.md#one-two-three) [c](#here)\n[d](../deploy/x) [e](../deploy/x/y.yml)\n\
                    [f](https://example.org/none)\n```text\n[g](none.md)\n```\n";
        assert_eq!(found(page), Vec::<String>::new());
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        for target in [
            "none.md",
            "b.md#four",
            "#there",
            "../deploy/z",
            "../../out.md",
        ] {
            let found = found(&format!("\n[a]({target})\n"));
            assert_eq!(found.len(), 1, "{target}");
            assert!(
                found[0].contains(target) && found[0].contains("docs/a.md:2"),
                "{found:?}"
            );
        }
    }
}
