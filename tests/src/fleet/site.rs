//! The machines of the laboratory, joined by a bridge, and the operator's commands.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::daemon::binary;
use crate::edge::Answer;
use crate::namespace::Namespace;

/// The operator's address, and the file of the operator's settings.
const OPERATOR: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 254);
pub(super) const SETTINGS: &str = "authority/fleet.toml";

/// The joined machines.
pub(super) struct Site {
    /// The operator's machine, with the bridge.
    pub(super) hub: Namespace,
    pub(super) directory: TempDir,
    /// The program of the fleet, where every user may run it.
    pub(super) program: PathBuf,
}

/// A machine on the bridge.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub(super) namespace: Namespace,
    pub(super) address: Ipv4Addr,
    pub(super) mac: [u8; 6],
    /// The bridge's port that leads to it.
    pub(super) port: String,
}

impl Site {
    pub(super) fn new() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        // Agents run as another user, and reach their own directories.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o711))?;
        let built = binary()?.with_file_name("geofence-fleet");
        ensure!(
            built.is_file(),
            "no geofence-fleet at {}: build it with `cargo build`",
            built.display()
        );
        let program = directory.path().join("geofence-fleet");
        fs::copy(&built, &program).context("copying geofence-fleet")?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        let hub = Namespace::new()?;
        hub.run(&[
            "ip",
            "link",
            "add",
            "br0",
            "type",
            "bridge",
            "stp_state",
            "0",
        ])?;
        hub.run(&["ip", "link", "set", "br0", "up"])?;
        hub.run(&[
            "ip",
            "address",
            "add",
            &format!("{OPERATOR}/16"),
            "dev",
            "br0",
        ])?;
        Ok(Self {
            hub,
            directory,
            program,
        })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A machine of this number in the network 10.9.GROUP, whose end of the cable is `edge0`.
    pub(super) fn machine(&self, group: u8, number: u8) -> Result<Machine> {
        let namespace = Namespace::new()?;
        let address = Ipv4Addr::new(10, 9, group, number);
        let mac = [2, 0, 0, 9, group, number];
        let text = mac.map(|byte| format!("{byte:02x}")).join(":");
        let port = format!("p{group}-{number}");
        let peer = namespace.path();
        self.hub.run(&[
            "ip", "link", "add", &port, "type", "veth", "peer", "name", "edge0", "address", &text,
            "netns", &peer,
        ])?;
        self.hub
            .run(&["ip", "link", "set", &port, "master", "br0", "up"])?;
        namespace.run(&["ip", "link", "set", "edge0", "up"])?;
        namespace.run(&[
            "ip",
            "address",
            "add",
            &format!("{address}/16"),
            "dev",
            "edge0",
        ])?;
        Ok(Machine {
            namespace,
            address,
            mac,
            port,
        })
    }

    /// A command of the fleet's program on the operator's machine.
    pub(super) fn command(&self) -> Command {
        self.hub.command(&self.program)
    }

    /// Runs a command of the operator to its end.
    pub(super) fn operate(&self, words: &[&str]) -> Result<Answer> {
        self.operate_in(self.directory.path(), words)
    }

    /// The same, in a directory.
    pub(super) fn operate_in(&self, directory: &Path, words: &[&str]) -> Result<Answer> {
        let settings = self.path(SETTINGS);
        let mut command = self.command();
        // Nodes on a busy machine report later than operators wait by default.
        let waits = matches!(
            words,
            ["ban" | "unban", ..] | ["exception", "add" | "remove", ..]
        );
        let wait = ["--wait", "240"];
        let wait = wait.iter().filter(|_| waits && !words.contains(&"--wait"));
        command
            .args(words)
            .args(wait)
            .current_dir(directory)
            .env("GEOFENCE_FLEET_SETTINGS", settings);
        let output = command.output()?;
        Ok(Answer {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout)?,
            stderr: String::from_utf8(output.stderr)?,
        })
    }

    /// The same, which must succeed.
    pub(super) fn done(&self, words: &[&str]) -> Result<Answer> {
        succeeded(self.operate(words)?)
    }

    /// Releases a policy to the end of its waves, or of its first one that fails.
    pub(super) fn apply(&self, policy: &str, options: &[&str]) -> Result<Answer> {
        let file = self.path("policy.toml");
        fs::write(&file, policy)?;
        let file = file.to_str().context("a path that is no text")?;
        self.operate(&[&["policy", "apply", file, "--reason", "lab"], options].concat())
    }
}

/// An answer of a command that has succeeded.
pub(super) fn succeeded(answer: Answer) -> Result<Answer> {
    ensure!(answer.code == Some(0), "{answer:?}");
    Ok(answer)
}

/// Gives a directory and what is in it to a user.
pub(super) fn give(path: &Path, user: u32) -> Result<()> {
    let words = ["-R".to_owned(), format!("{user}:{user}")];
    let status = Command::new("chown").args(words).arg(path).status()?;
    ensure!(status.success(), "giving {} away", path.display());
    Ok(())
}
