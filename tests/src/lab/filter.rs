//! The filter in the laboratory: running at the edge, and asked for its counters.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result, ensure};

use super::network::{Network, OUTER};
use crate::counters::Counters;
use crate::daemon::{Daemon, geofence};
use crate::edge::PATIENCE;
use crate::http;
use crate::namespace::Namespace;

const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 10317);

/// What the filter is to do while the steps run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// What it is for.
    Enforce,
    /// Count and drop nothing: what mail needs works then, and what must not pass does.
    Monitor,
    /// Not be there.
    Absent,
}

/// A filter at the edge, or its absence.
#[derive(Debug)]
pub(super) struct Filter {
    edge: Namespace,
    daemon: Option<Daemon>,
}

/// What the filter says it has done.
#[derive(Clone, Debug, Default)]
pub(super) struct Account {
    text: String,
    packets: Counters,
}

impl Filter {
    /// Starts it with the default policy, and waits until it protects the edge.
    pub(super) fn start(network: &Network, mode: Mode) -> Result<Self> {
        let edge = network.edge.clone();
        // The edge's way to the world is a router in a blocked country, which it may not be without good reason. To
        // let that router in would defeat the purpose: its errors are to pass by what they quote.
        let mut arguments = vec!["--interface", OUTER, "--force"];
        match mode {
            Mode::Absent => return Ok(Self { edge, daemon: None }),
            Mode::Monitor => arguments.extend(["--mode", "monitor"]),
            Mode::Enforce => {}
        }
        let mut daemon = Daemon::run(&edge, &arguments, &[])?;
        daemon.wait_healthy(LISTEN, PATIENCE)?;
        Ok(Self {
            edge,
            daemon: Some(daemon),
        })
    }

    /// Its counters; all zero where there is none.
    pub(super) fn account(&self) -> Result<Account> {
        if self.daemon.is_none() {
            return Ok(Account::default());
        }
        let response = http::get(&self.edge, LISTEN, "/metrics", &[])?;
        ensure!(
            response.status == 200,
            "/metrics was answered with {}: {}",
            response.status,
            response.body.trim()
        );
        Ok(Account {
            packets: Counters::parse(&response.body)?,
            text: response.body,
        })
    }

    /// Reloads by force: the lock-out check sees the router in a blocked country.
    pub(super) fn reload(&self) -> Result<()> {
        if self.daemon.is_some() {
            let output = geofence(&self.edge)?.args(["reload", "--force"]).output()?;
            ensure!(output.status.success(), "{output:?}");
        }
        Ok(())
    }

    /// Stops it as Ctrl-C does; it must go in peace.
    pub(super) fn stop(self) -> Result<()> {
        let Some(daemon) = self.daemon else {
            return Ok(());
        };
        let ended = daemon.interrupt(PATIENCE)?;
        ensure!(
            ended.status.success(),
            "geofence ended with {}\n{}",
            ended.status,
            ended.stderr
        );
        Ok(())
    }
}

impl Account {
    /// Packets passed for a reason, in every country.
    pub(super) fn passed(&self, reason: &str) -> u64 {
        self.packets.of("pass", Some(reason))
    }

    /// All packets that it judged.
    pub(super) fn packets(&self) -> u64 {
        self.packets.packets()
    }

    /// Packets dropped, whatever for.
    pub(super) fn dropped(&self) -> u64 {
        self.packets.of("drop", None)
    }

    /// The sum of a metric over its labels, those included whose labels contain `part`.
    pub(super) fn sum(&self, name: &str, part: &str) -> Result<u64> {
        let mut found = None;
        for line in self.text.lines() {
            let Some((labels, value)) = line
                .strip_prefix(name)
                .and_then(|rest| rest.strip_prefix('{'))
                .and_then(|rest| rest.split_once("} "))
            else {
                continue;
            };
            if labels.contains(part) {
                let value: f64 = value
                    .trim()
                    .parse()
                    .with_context(|| format!("/metrics has a broken line: {line}"))?;
                *found.get_or_insert(0) += value as u64;
            }
        }
        found.with_context(|| format!("/metrics has no {name} with {part:?}"))
    }
}
