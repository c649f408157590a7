//! The protected machine that every step changes.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::traffic::{Numbers, QUEUES};
use crate::daemon::{Daemon, Waited};
use crate::edge::{Answer, Edge, PATIENCE};
use crate::link::{Link, receive_offload};

/// A protected machine, its daemon, and the configuration it reads.
pub(super) struct Site {
    // Stopped before what it protects is gone.
    pub(super) daemon: Option<Daemon>,
    pub(super) edge: Edge,
    pub(super) directory: TempDir,
    /// Which of the sentinels is blocked.
    pub(super) side: usize,
    /// What is being sent, and what need not arrive.
    pub(super) numbers: Numbers,
}

/// A blocked country from which only single probes come, so that its counter counts those.
pub(super) const PROBED: &str = "KP";

/// Rules of every kind that can come and go, about no source that sends.
pub(crate) const RULES: &str = r#"
[[tenant]]
name = "customer-17"
prefixes = ["203.0.113.0/24", "2001:db8:17::/48"]

[[exception]]
id = "partner"
from = ["5.136.8.0/24"]
to = ["customer-17"]
services = ["tcp/443"]
owner = "noc"
reason = "reaches the customer"

[[protect]]
id = "remote-desktops"
services = ["tcp/3389"]
from = ["198.51.100.0/24"]
to = ["customer-17"]

[[list]]
name = "findings"
file = "findings.txt"
format = "plain"
action = "block"
"#;

/// What is on the list.
pub(crate) const LISTED: &str = "5.136.9.0/24\n";

/// The countries of the sentinels.
pub(super) const SIDES: [&str; 2] = ["RU", "DE"];

impl Site {
    pub(super) fn open() -> Result<Self> {
        let mut site = Self {
            daemon: None,
            edge: Edge::on(&Link::default().queues(QUEUES))?,
            directory: tempfile::tempdir()?,
            side: 0,
            numbers: Numbers::default(),
        };
        // Or a flood would not reach an interface that has lost its filter.
        receive_offload(&site.edge.pair.edge, site.edge.interface())?;
        site.configure()?;
        site.start()?;
        Ok(site)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes the configuration that blocks the flood's country, that of single probes and one sentinel's.
    ///
    /// One of the two denies networks all over the world as well, so that a reload moves nearly everything in the
    /// image: one that were written over another would be a third thing for as long as that takes. It has rules of
    /// every kind too, which another program judges by, and which concern no packet here.
    pub(super) fn configure(&self) -> Result<()> {
        let new = self.path("new");
        let mut text = format!(
            "block = [\"CN\", \"{}\", \"{}\"]\n",
            PROBED, SIDES[self.side]
        );
        if self.side == 1 {
            let networks = (11..200_u8).step_by(3).filter(|first| *first != 77);
            let denied: Vec<_> = networks
                .map(|first| format!("\"{first}.66.6.0/24\""))
                .collect();
            text += &format!("deny = [{}]\n{RULES}", denied.join(", "));
            std::fs::write(self.path("findings.txt"), LISTED)?;
        }
        std::fs::write(&new, text)?;
        Ok(std::fs::rename(new, self.path("geofence.toml"))?)
    }

    pub(super) fn start(&mut self) -> Result<()> {
        let config = self.path("geofence.toml");
        let config = config.to_str().context("a path")?;
        self.daemon = Some(self.edge.run(&["--config", config])?);
        Ok(())
    }

    /// Ends the daemon by a signal and starts another.
    pub(super) fn restart(&mut self, signal: Signal) -> Result<()> {
        let mut daemon = self.daemon.take().context("no daemon")?;
        daemon.signal(signal)?;
        daemon.wait(PATIENCE)?;
        self.start()
    }

    /// For how long the daemon has waited for a core up to now.
    pub(super) fn waited(&self) -> Result<Waited> {
        self.daemon.as_ref().context("no daemon")?.waited()
    }

    pub(super) fn reload(&self) -> Result<Answer> {
        self.edge.ask(&["reload", "--json"])
    }

    /// Changes the sides of the sentinels. What the daemon does by itself when the file changes does no harm: the
    /// second of two reloads changes nothing.
    pub(super) fn change_sides(&mut self) -> Result<()> {
        self.side = 1 - self.side;
        self.configure()?;
        let answer = self.reload()?;
        ensure!(answer.code == Some(0), "{answer:?}");
        Ok(())
    }
}
