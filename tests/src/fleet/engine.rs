//! The members of the engine.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;

use super::site::{Machine, Site};
use crate::daemon::Daemon;
use crate::edge::PATIENCE;
use crate::wait::poll;

/// The members, and what they run.
pub(super) struct Engine {
    pub(super) members: Vec<Machine>,
    running: Vec<Option<Daemon>>,
    authority: PathBuf,
    directory: PathBuf,
    /// How many bytes it may take, if not as many as etcd says.
    quota: Option<u64>,
}

impl Engine {
    /// Makes the authority and starts this many members.
    pub(super) fn start(site: &Site, count: u8, quota: Option<u64>) -> Result<Self> {
        let members = (1..=count).map(|number| site.machine(0, number));
        let members = members.collect::<Result<Vec<_>>>()?;
        let authority = site.path("authority");
        let mut init = site.command();
        init.args(["bootstrap", "init"]).arg(&authority);
        for (number, member) in (1..).zip(&members) {
            init.args(["--member", &format!("e{number}={}", member.address)]);
        }
        let made = init.output()?;
        if !made.status.success() {
            bail!("bootstrap init: {}", String::from_utf8_lossy(&made.stderr));
        }
        let mut engine = Self {
            running: members.iter().map(|_| None).collect(),
            members,
            authority,
            directory: site.path("engine"),
            quota,
        };
        engine.restart()?;
        Ok(engine)
    }

    /// Starts every member that does not run, and waits until the engine answers.
    pub(super) fn restart(&mut self) -> Result<()> {
        for number in 0..self.members.len() {
            if self.running[number].is_none() {
                let daemon = self.spawn(number)?;
                self.running[number] = Some(daemon);
            }
        }
        for number in 0..self.members.len() {
            let is_healthy = || {
                let said = self.control(number, "root", &["endpoint", "health"]);
                Ok(said.is_ok().then_some(()))
            };
            poll(PATIENCE, is_healthy)?.with_context(|| {
                let said = self.running[number].as_ref().map(Daemon::stderr);
                format!(
                    "member {number} does not answer: {}",
                    said.unwrap_or_default()
                )
            })?;
        }
        Ok(())
    }

    fn spawn(&self, number: usize) -> Result<Daemon> {
        let member = &self.members[number];
        let name = format!("e{}", number + 1);
        let data = self.directory.join(&name);
        fs::create_dir_all(&data)?;
        let authority = self.authority.join("authority.pem");
        let certificate = self.authority.join(format!("member-{name}.pem"));
        let key = self.authority.join(format!("member-{name}.key"));
        let peers_authority = self.authority.join("peers.pem");
        let peer_certificate = self.authority.join(format!("peer-{name}.pem"));
        let peer_key = self.authority.join(format!("peer-{name}.key"));
        let (clients, peers) = (
            format!("https://{}:2379", member.address),
            format!("https://{}:2380", member.address),
        );
        let cluster = (1..).zip(&self.members);
        let cluster: Vec<_> = cluster
            .map(|(number, one)| format!("e{number}=https://{}:2380", one.address))
            .collect();
        let mut command = member.namespace.command("etcd");
        command
            .args(["--name", &name, "--data-dir"])
            .arg(&data)
            .args([
                "--listen-client-urls",
                &clients,
                "--advertise-client-urls",
                &clients,
            ])
            .args([
                "--listen-peer-urls",
                &peers,
                "--initial-advertise-peer-urls",
                &peers,
            ])
            .args([
                "--initial-cluster",
                &cluster.join(","),
                "--log-level",
                "error",
            ])
            .args([
                "--logger",
                "zap",
                "--client-cert-auth",
                "--peer-client-cert-auth",
            ]);
        // A member that waits for a core for a second has not failed.
        command.args(["--heartbeat-interval", "300", "--election-timeout", "3000"]);
        if let Some(quota) = self.quota {
            command.args(["--quota-backend-bytes", &quota.to_string()]);
        }
        for (option, file) in [
            ("--trusted-ca-file", &authority),
            ("--cert-file", &certificate),
            ("--key-file", &key),
            ("--peer-trusted-ca-file", &peers_authority),
            ("--peer-cert-file", &peer_certificate),
            ("--peer-key-file", &peer_key),
        ] {
            command.arg(option).arg(file);
        }
        Daemon::spawn(&member.namespace, command)
    }

    /// Kills a member.
    pub(super) fn kill(&mut self, number: usize) -> Result<()> {
        if let Some(running) = self.running[number].take() {
            running.kill(PATIENCE)?;
        }
        Ok(())
    }

    /// Kills every member.
    pub(super) fn kill_all(&mut self) -> Result<()> {
        (0..self.members.len()).try_for_each(|number| self.kill(number))
    }

    /// Runs etcdctl beside a member, as the client of this certificate.
    pub(super) fn control(&self, number: usize, who: &str, words: &[&str]) -> Result<String> {
        let member = &self.members[number];
        let [authority, certificate, key] = [
            "authority.pem",
            &format!("{who}.pem"),
            &format!("{who}.key"),
        ]
        .map(|name| self.authority.join(name));
        let mut command: Command = member.namespace.command("etcdctl");
        command
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &format!("https://{}:2379", member.address)])
            .arg("--cacert")
            .arg(authority)
            .arg("--cert")
            .arg(certificate)
            .arg("--key")
            .arg(key)
            .args(["--command-timeout", "60s"])
            .args(words);
        let output = command.output()?;
        if !output.status.success() {
            bail!(
                "etcdctl {words:?}: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Whether the port by which members replicate takes a client with this certificate.
    pub(super) fn replicates_with(&self, who: &str) -> Result<bool> {
        let member = self.members.first().context("no member")?;
        let mut command = member.namespace.command("openssl");
        // In TLS 1.3 a client learns too late that it is refused.
        command
            .args(["s_client", "-tls1_2", "-verify_return_error", "-connect"])
            .arg(format!("{}:2380", member.address))
            .arg("-CAfile")
            .arg(self.authority.join("peers.pem"))
            .arg("-cert")
            .arg(self.authority.join(format!("{who}.pem")))
            .arg("-key")
            .arg(self.authority.join(format!("{who}.key")))
            .stdin(std::process::Stdio::null());
        Ok(command.output()?.status.success())
    }

    /// Ends every member, in order.
    pub(super) fn stop(mut self) -> Result<()> {
        for mut running in self.running.drain(..).flatten() {
            running.signal(Signal::SIGTERM)?;
            running.wait(PATIENCE)?;
        }
        Ok(())
    }
}
