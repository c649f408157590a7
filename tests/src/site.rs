//! A machine with one protected interface whose geofence has files of its own: its configuration, and what that names.
//!
//! Suites use it that change what a running geofence goes by. What the files say is theirs to choose.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::daemon::Daemon;
use crate::edge::{Answer, Edge, PATIENCE};
use crate::wait::poll;

/// Addresses of two countries, of which suites block one or the other.
pub const RUSSIAN: &str = "77.88.8.8";
pub const GERMAN: &str = "84.200.69.80";

/// The name of the configuration's file.
pub const CONFIG: &str = "geofence.toml";

/// A protected machine, and the directory of its configuration.
#[derive(Debug)]
pub struct Site {
    /// The machine and its link.
    pub edge: Edge,
    /// Where its files are, and theirs alone.
    pub directory: TempDir,
}

impl Site {
    /// Makes a machine with this configuration; nothing filters yet.
    pub fn new(config: &str) -> Result<Self> {
        let site = Self {
            edge: Edge::new()?,
            directory: tempfile::tempdir()?,
        };
        site.configure(config)?;
        Ok(site)
    }

    /// Where a file of this name is.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The same, as a word of a command.
    pub fn word(&self, name: &str) -> Result<String> {
        let path = self.path(name).into_os_string().into_string();
        path.ok().context("a path that is no text")
    }

    /// Puts a file in place, whole: who reads meanwhile sees the one before or this one.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> Result<()> {
        let new = self.path(&format!("{name}.new"));
        fs::write(&new, contents)?;
        Ok(fs::rename(new, self.path(name))?)
    }

    /// Writes the configuration, and does not reload.
    pub fn configure(&self, text: &str) -> Result<()> {
        self.write(CONFIG, text)
    }

    /// Starts a daemon by the configuration and waits until it is healthy; see [`Edge::run`].
    pub fn run(&self, more: &[&str]) -> Result<Daemon> {
        let config = self.word(CONFIG)?;
        self.edge.run(&[&["--config", &config], more].concat())
    }

    /// Runs a command of geofence, which must succeed.
    pub fn done(&self, words: &[&str]) -> Result<Answer> {
        let answer = self.edge.ask(words)?;
        ensure!(answer.code == Some(0), "{words:?}: {answer:?}");
        Ok(answer)
    }

    /// Runs a command of geofence by the configuration: its exit code, and all that it says.
    pub fn ask(&self, words: &[&str]) -> Result<(Option<i32>, String)> {
        let config = self.word(CONFIG)?;
        let answer = self.edge.ask(&[words, &["--config", &config]].concat())?;
        Ok((answer.code, answer.stdout + &answer.stderr))
    }

    /// The same, as JSON.
    pub fn json(&self, words: &[&str]) -> Result<Value> {
        let (_, said) = self.ask(&[words, &["--json"]].concat())?;
        serde_json::from_str(&said).with_context(|| said)
    }

    /// Waits until packets from an address pass, or no longer do.
    pub fn wait_passes(&self, source: &str, expected: bool) -> Result<()> {
        let seen = poll(PATIENCE, || {
            Ok((self.edge.passes(source)? == expected).then_some(()))
        })?;
        seen.with_context(|| format!("{source} does not come to pass: {expected}"))
    }

    /// Whether packets from Russia and from Germany pass.
    pub fn passes(&self) -> Result<[bool; 2]> {
        Ok([self.edge.passes(RUSSIAN)?, self.edge.passes(GERMAN)?])
    }

    /// Waits until they do as they should.
    pub fn wait_both(&self, expected: [bool; 2]) -> Result<()> {
        let mut seen = [false; 2];
        poll(PATIENCE, || {
            seen = self.passes()?;
            // The two packets of a look may meet two images.
            Ok((seen == expected).then_some(()))
        })?
        .with_context(|| format!("Russia and Germany pass: {seen:?}, not {expected:?}"))
    }
}
