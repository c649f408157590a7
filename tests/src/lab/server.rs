//! Real server software, running in the foreground inside a namespace of its own processes.
//!
//! Each server is the first process of a process namespace: when it or we end, however we end, the kernel kills all
//! that it started. What it says goes to a file that failures quote.

use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::call;
use crate::namespace::Namespace;
use crate::wait::poll;

/// How long a server may take until it answers.
const START_PATIENCE: Duration = Duration::from_secs(240);
/// How much of what it said is worth quoting.
const QUOTED: usize = 2000;

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    name: String,
    child: Child,
    said: PathBuf,
}

impl Server {
    /// Starts a program; what it says goes to `NAME.out` in the folder.
    pub(crate) fn start(
        namespace: &Namespace,
        name: &str,
        folder: &Path,
        words: &[&str],
    ) -> Result<Self> {
        let said = folder.join(format!("{name}.out"));
        let out = File::create(&said).with_context(|| format!("creating {}", said.display()))?;
        let errors = out
            .try_clone()
            .context("sharing the file of what it says")?;
        let mut command = namespace.command("unshare");
        command
            .args(["--pid", "--fork", "--kill-child=KILL", "--"])
            .args(words);
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(errors)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            said,
        })
    }

    /// Waits until the server accepts connections at an address.
    pub(crate) fn wait_port(&mut self, namespace: &Namespace, at: SocketAddr) -> Result<()> {
        let name = self.name.clone();
        let from = if at.ip().is_loopback() {
            at.ip()
        } else if at.is_ipv4() {
            IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)
        } else {
            IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED)
        };
        let answered = poll(START_PATIENCE, || {
            if let Some(status) = self.child.try_wait().context("asking whether it runs")? {
                bail!("{name} ended ({status}); it said: {}", self.said());
            }
            // A refusal is the answer of a machine whose server is not up yet.
            Ok(
                match call::tcp(namespace, from, at, Duration::from_secs(1)) {
                    Ok(Some(_)) => Some(()),
                    Ok(None) | Err(_) => None,
                },
            )
        })?;
        answered.with_context(|| {
            format!(
                "{name} does not answer at {at} after {START_PATIENCE:?}; it said: {}",
                self.said()
            )
        })
    }

    /// The end of what it said.
    pub(crate) fn said(&self) -> String {
        let text = fs::read(&self.said).unwrap_or_default();
        let text = String::from_utf8_lossy(&text[text.len().saturating_sub(QUOTED)..]);
        text.trim().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail when it has ended already, which is as good. Its own children die with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
