//! The laboratory, and what its steps share.

use std::time::Instant;

use anyhow::Result;
use serde_json::Value;

use super::engine::Engine;
use super::nodes::{Node, ensure_configuration};
use super::site::{Site, succeeded};
use super::traffic::Traffic;
use crate::lab::Scale;
use crate::lab::report::Row;

/// The policy that the fleet gets first, and keeps.
pub(super) const POLICY: &str = "block = [\"RU\", \"BY\"]\n";

/// The laboratory.
pub(super) struct Lab {
    pub(super) site: Site,
    pub(super) engine: Engine,
    pub(super) nodes: Vec<Node>,
    pub(super) traffic: Traffic,
    /// The first release of the policy, which is an old one later.
    pub(super) old_release: Option<Value>,
    pub(super) scale: Scale,
    /// How many agents only watch.
    pub(super) watchers: usize,
}

impl Lab {
    pub(super) fn scale_of<T>(&self, short: T, whole: T) -> T {
        match self.scale {
            Scale::Short => short,
            Scale::Whole => whole,
        }
    }
}

/// The words of a command that grants an exception to the excepted source, and does not wait.
pub(super) fn exception_of<'a>(id: &'a str, source: &'a str) -> [&'a str; 13] {
    [
        "exception",
        "add",
        id,
        "--from",
        source,
        "--to",
        "any",
        "--owner",
        "lab",
        "--reason",
        "lab",
        "--wait",
        "0",
    ]
}

/// A row with what was seen.
pub(super) fn row(
    step: u8,
    what: &str,
    expected: &str,
    begun: Instant,
    seen: Result<String>,
) -> Row {
    let seen = seen.unwrap_or_else(|error| format!("{error:#}"));
    Row {
        step,
        what: what.to_owned(),
        expected: expected.to_owned(),
        ok: seen == expected,
        seen,
        took: begun.elapsed(),
    }
}

/// Releases a policy to all nodes, or goes back to the one before; every node must have it then.
pub(super) fn released(lab: &Lab, policy: &str, is_forward: bool) -> Result<()> {
    // Beside other tests, the traffic goes at another pace than usually.
    let trial = ["--observe", "3s", "--band", lab.scale_of("0.1", "0.5")];
    let answer = if is_forward {
        lab.site.apply(policy, &trial)
    } else {
        let words = [&["revert", "--reason", "lab"][..], &trial].concat();
        lab.site.operate(&words)
    };
    succeeded(answer?)?;
    ensure_configuration(&lab.nodes, policy)
}
