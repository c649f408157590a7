//! What becomes of packets on a device: the sources that are tried, and the start before the link is up.

use anyhow::{Context as _, Result};

use crate::daemon::Daemon;
use crate::edge::Edge;

/// Addresses of a blocked country and of an open one.
pub(super) const BLOCKED: &str = "77.88.8.8";
pub(super) const OPEN: &str = "84.200.69.80";

/// What the filter must do with a connection to SSH from each.
pub(super) const JUDGED: &str = "RU dropped, DE passed";

/// Starts a daemon while the link is down, as the unit does, and takes it up. Returns the mode that was reached as
/// well.
pub(super) fn before_link(edge: &Edge, words: &[&str]) -> Result<(Daemon, String)> {
    let set = |state: &str| {
        let words = ["ip", "link", "set", edge.interface(), state];
        edge.pair.edge.run(&words)
    };
    set("down")?;
    let started = edge.run(words)?;
    set("up")?;
    edge.pair.wait_up()?;
    edge.pair.address(false)?;
    let said = started.stderr();
    let line = said
        .lines()
        .find_map(|line| line.split_once(" in ")?.1.split_once(" mode"));
    let mode = line.map(|(mode, _)| mode.to_owned());
    Ok((started, mode.with_context(|| said.clone())?))
}

/// What becomes of a connection to SSH from this address.
pub(super) fn verdict_on(edge: &Edge, source: &str) -> Result<&'static str> {
    Ok(if edge.passes(source)? {
        "passed"
    } else {
        "dropped"
    })
}
