//! The nodes: a daemon and an agent each.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::Signal;

use super::site::{Machine, Site, give};
use crate::daemon::Daemon;
use crate::edge::{LISTEN, PATIENCE};
use crate::wait::poll;

/// The user of the agents. No such user need exist.
const USER: u32 = 47_110;

/// A node.
pub(super) struct Node {
    pub(super) name: String,
    pub(super) machine: Machine,
    directory: PathBuf,
    daemon: Option<Daemon>,
    pub(super) agent: Option<Daemon>,
}

impl Node {
    /// Makes a node and starts its daemon, but no agent.
    pub(super) fn start(site: &Site, number: u8) -> Result<Self> {
        let name = format!("node{number}");
        let machine = site.machine(1, number)?;
        let directory = site.path(&name);
        fs::create_dir_all(directory.join("conf.d"))?;
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o711))?;
        fs::write(directory.join("geofence.toml"), "block = [\"RU\"]\n")?;
        let own =
            format!("interfaces = [\"edge0\"]\nlisten = \"{LISTEN}\"\nfleet-user = \"{USER}\"\n");
        fs::write(directory.join("conf.d/node.toml"), own)?;
        let mut node = Self {
            name,
            machine,
            directory,
            daemon: None,
            agent: None,
        };
        node.start_daemon()?;
        Ok(node)
    }

    fn start_daemon(&mut self) -> Result<()> {
        let config = self.directory.join("geofence.toml");
        let config = config
            .to_str()
            .context("a path that is no text")?
            .to_owned();
        let mut daemon = Daemon::run(&self.machine.namespace, &["--config", &config], &[])?;
        daemon.wait_healthy(LISTEN.parse()?, PATIENCE)?;
        self.daemon = Some(daemon);
        Ok(())
    }

    /// Ends the daemon and starts another one.
    pub(super) fn restart_daemon(&mut self) -> Result<()> {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.signal(Signal::SIGTERM)?;
            daemon.wait(PATIENCE)?;
        }
        self.start_daemon()
    }

    /// Makes the node known to the fleet.
    pub(super) fn join(&self, site: &Site) -> Result<()> {
        let into = self.directory.join("fleet");
        let into = into.to_str().context("a path that is no text")?;
        site.done(&["bootstrap", "node", &self.name, "--into", into])?;
        let settings = self.directory.join("fleet/fleet.toml");
        let mut text = fs::read_to_string(&settings)?;
        text += &format!(
            "instance = \"{}\"\nstate = \"state\"\nspread = 0\n",
            self.machine.namespace.instance()
        );
        fs::write(&settings, text)?;
        fs::create_dir(self.directory.join("fleet/state"))?;
        give(&self.directory.join("fleet"), USER)
    }

    /// Starts the agent as its own user.
    pub(super) fn start_agent(&mut self, site: &Site) -> Result<()> {
        let user = USER.to_string();
        let mut command = self.machine.namespace.command("setpriv");
        command
            .args(["--reuid", &user, "--regid", &user, "--clear-groups", "--"])
            .arg(&site.program)
            .args(["agent", "--settings"])
            .arg(self.directory.join("fleet/fleet.toml"));
        self.agent = Some(Daemon::spawn(&self.machine.namespace, command)?);
        Ok(())
    }

    /// The configuration that the daemon has.
    pub(super) fn configuration(&self) -> Result<String> {
        Ok(fs::read_to_string(self.directory.join("geofence.toml"))?)
    }

    /// Takes the filter off and ends both.
    pub(super) fn stop(mut self) -> Result<()> {
        if let Some(agent) = self.agent.take() {
            agent.kill(PATIENCE)?;
        }
        if let Some(daemon) = self.daemon.take() {
            daemon.interrupt(PATIENCE)?;
        }
        Ok(())
    }
}

/// Waits until the operator's status says that all is well.
pub(super) fn await_well(site: &Site) -> Result<String> {
    let mut said = String::new();
    let well = poll(PATIENCE, || {
        let answer = site.operate(&["status"])?;
        said = answer.stdout + &answer.stderr;
        Ok((answer.code == Some(0)).then_some(()))
    })?;
    match well {
        Some(()) => Ok(said.lines().next().unwrap_or_default().to_owned()),
        None => bail!("the fleet is not well: {said}"),
    }
}

/// Checks that every node has the same configuration.
pub(super) fn ensure_configuration(nodes: &[Node], expected: &str) -> Result<()> {
    for node in nodes {
        let text = node.configuration()?;
        ensure!(
            text == expected,
            "{}: {text:?}, not {expected:?}",
            node.name
        );
    }
    Ok(())
}
