//! What becomes of packets on a device: the sources that are tried, and the start before the link is up.

use anyhow::{Context as _, Result};

use crate::daemon::Daemon;
use crate::edge::Edge;

/// Addresses of a blocked country and of an open one.
pub(super) const BLOCKED: &str = "77.88.8.8";
pub(super) const OPEN: &str = "84.200.69.80";

/// Not every device has native XDP.
pub(super) const AUTO: &str = "xdp-mode = \"auto\"\n";

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
    let mode = mode(&started)?;
    Ok((started, mode))
}

/// The mode that a daemon has reached, as its log says.
pub(super) fn mode(daemon: &Daemon) -> Result<String> {
    let said = daemon.stderr();
    let line = said
        .lines()
        .filter(|line| line.contains("protecting "))
        .find_map(|line| line.split_once(" in ")?.1.split_once(" mode"));
    let mode = line.map(|(mode, _)| mode.to_owned());
    mode.with_context(|| said.clone())
}

/// How many queues an interface receives by, as its driver says.
pub(super) fn queues(edge: &Edge) -> Option<u32> {
    let words = ["ethtool", "--show-channels", edge.interface()];
    let said = edge.pair.edge.run(&words).ok()?;
    let (_, now) = said.split_once("Current hardware settings")?;
    let counts = now.lines().filter_map(|line| {
        let (kind, count) = line.split_once(':')?;
        let is_receiving = matches!(kind.trim(), "RX" | "Combined");
        is_receiving.then(|| count.trim().parse::<u32>().unwrap_or(0))
    });
    Some(counts.sum())
}

/// What becomes of a connection to SSH from this address.
pub(super) fn verdict_on(edge: &Edge, source: &str) -> Result<&'static str> {
    Ok(if edge.passes(source)? {
        "passed"
    } else {
        "dropped"
    })
}
