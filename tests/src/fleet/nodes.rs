//! The nodes: a daemon and an agent each.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::Signal;

use super::site::{Machine, Site, give};
use crate::daemon::{Daemon, geofence};
use crate::edge::{LISTEN, PATIENCE};
use crate::fake_clock;
use crate::wait::poll;

/// The user of the agents. No such user need exist.
const USER: u32 = 47_110;

/// Where the agents answer /metrics.
pub(super) const AGENT: &str = "127.0.0.1:10318";

/// A node.
pub(super) struct Node {
    pub(super) name: String,
    pub(super) machine: Machine,
    pub(super) directory: PathBuf,
    daemon: Option<Daemon>,
    pub(super) agent: Option<Daemon>,
    /// What its programs have in their environments.
    environment: Vec<(&'static str, String)>,
}

impl Node {
    /// Makes a node and starts its daemon, but no agent.
    pub(super) fn start(site: &Site, number: u8) -> Result<Self> {
        Self::start_with(site, number, |_| Ok(Vec::new()))
    }

    /// The same with a clock of its own, which the file `clock` in its directory sets.
    pub(super) fn with_clock(site: &Site, number: u8) -> Result<Self> {
        Self::start_with(site, number, |directory| {
            fake_clock::set(directory, "+0")?;
            fake_clock::environment(directory)
        })
    }

    fn start_with(
        site: &Site,
        number: u8,
        environment: impl FnOnce(&Path) -> Result<Vec<(&'static str, String)>>,
    ) -> Result<Self> {
        let name = format!("node{number}");
        let machine = site.machine(1, number)?;
        let directory = site.path(&name);
        fs::create_dir_all(directory.join("conf.d"))?;
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o711))?;
        fs::write(directory.join("geofence.toml"), "block = [\"RU\"]\n")?;
        let own =
            format!("interfaces = [\"edge0\"]\nlisten = \"{LISTEN}\"\nfleet-user = \"{USER}\"\n");
        fs::write(directory.join("conf.d/node.toml"), own)?;
        let environment = environment(&directory)?;
        let mut node = Self {
            environment,
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
        let own = self.environment.iter();
        let own: Vec<_> = own.map(|(name, value)| (*name, value.as_str())).collect();
        let mut daemon = Daemon::run(&self.machine.namespace, &["--config", &config], &own)?;
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
    pub(super) fn join(&self, site: &Site, group: &str) -> Result<()> {
        let into = self.directory.join("fleet");
        let into = into.to_str().context("a path that is no text")?;
        let words = ["bootstrap", "node", &self.name, "--group", group];
        site.done(&[&words[..], &["--into", into]].concat())?;
        let settings = self.directory.join("fleet/fleet.toml");
        let mut text = fs::read_to_string(&settings)?;
        text += &format!(
            "instance = \"{}\"\nstate = \"state\"\nspread = 0\nlisten = \"{AGENT}\"\n",
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
            // What is to be the agent's alone, and not of the programs that begin it as root.
            .arg("env")
            .args(
                self.environment
                    .iter()
                    .map(|(name, value)| format!("{name}={value}")),
            )
            .arg(&site.program)
            .args(["agent", "--settings"])
            .arg(self.directory.join("fleet/fleet.toml"));
        self.agent = Some(Daemon::spawn(&self.machine.namespace, command)?);
        Ok(())
    }

    /// The bans that the daemon has.
    pub(super) fn bans(&self) -> Result<Vec<String>> {
        let output = geofence(&self.machine.namespace)?
            .args(["bans", "--json"])
            .output()?;
        ensure!(output.status.success(), "{output:?}");
        let all: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let all = all["exceptions"].as_array().context("no bans")?;
        let names = all.iter().filter_map(|one| one["id"].as_str());
        Ok(names.map(str::to_owned).collect())
    }

    /// What the agent has said.
    pub(super) fn said(&self) -> String {
        self.agent.as_ref().map(Daemon::stderr).unwrap_or_default()
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
