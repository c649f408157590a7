//! The rule that what only computes imports neither the kernel module nor the command line.
//!
//! Code in the lower rooms of geofence-user runs without a kernel, a daemon or a client, so a test of it needs none.

use super::modules::Crate;
use crate::tidy::finding::{Finding, finding};

const SOURCES: &str = "geofence-user/src/";

/// The rooms that compute, read files and describe.
const LOWER: [&str; 8] = [
    "checks", "compile", "config", "data", "explain", "model", "os", "prepare",
];

/// The rooms that talk to the kernel, to clients and to the operator.
const UPPER: [&str; 4] = ["cli", "daemon", "kernel", "serve"];

/// Finds the imports of one crate that lead up.
pub(super) fn check(modules: &Crate) -> Vec<Finding> {
    let mut findings = Vec::new();
    for one in modules.uses() {
        let (from, to) = (modules.path(one.from), modules.path(one.to));
        let (Some(lower), Some(upper)) = (room(from, &LOWER), room(to, &UPPER)) else {
            continue;
        };
        let rule = format!("{lower} imports {} from {upper}: move it down", one.name);
        findings.push(finding(from, one.line, &rule));
    }
    findings
}

/// Returns the room of a file if it is one of these.
fn room<'a>(path: &str, rooms: &[&'a str]) -> Option<&'a str> {
    let below = path.strip_prefix(SOURCES)?;
    let name = below.split(['/', '.']).next()?;
    rooms.iter().copied().find(|room| *room == name)
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use crate::tidy::finding::{Finding, assert_one};

    fn found(model: &str, kernel: &str) -> Vec<Finding> {
        let file = |path: &str, text: &str| (path.to_owned(), text.to_owned());
        check(&[
            file("geofence-user/src/lib.rs", "mod model;\nmod kernel;\n"),
            file("geofence-user/src/model/mod.rs", model),
            file("geofence-user/src/kernel/mod.rs", kernel),
        ])
    }

    #[test]
    fn an_import_that_leads_up_is_refused() {
        assert_one(
            &found("\nuse crate::kernel::Filter;\n", "pub struct Filter;\n"),
            "geofence-user/src/model/mod.rs:2: model imports Filter from kernel: move it down",
        );
    }

    #[test]
    fn imports_that_lead_down_and_imports_of_tests_are_kept() {
        let model = "pub struct Facts;\n#[cfg(test)]\nmod tests { use crate::kernel::Filter; }\n";
        let kernel = "use crate::model::Facts;\npub struct Filter;\n";
        assert!(found(model, kernel).is_empty());
    }
}
