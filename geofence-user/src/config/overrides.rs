//! Options of the command line that replace keys: the same readers and the same errors, under the name of the option.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::configuration::Config;
use super::error::ConfigErrors;
use super::schema::KEYS;
use super::value::Value;

/// The options of a command line that replace keys, as they were typed. A daemon hands on its own, because they hold
/// whatever its configuration file says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Overrides {
    pub databases: Vec<PathBuf>,
    pub block: Option<String>,
    pub interfaces: Vec<String>,
    pub mode: Option<String>,
    pub listen: Option<String>,
}

impl Overrides {
    /// Replaces the keys.
    ///
    /// # Errors
    /// What is wrong with the first option that is.
    pub fn apply(&self, config: &mut Config) -> Result<(), ConfigErrors> {
        databases(config, &self.databases);
        if let Some(countries) = &self.block {
            block(config, countries)?;
        }
        interfaces(config, &self.interfaces)?;
        if let Some(word) = &self.mode {
            mode(config, word)?;
        }
        if let Some(address) = &self.listen {
            listen(config, address)?;
        }
        Ok(())
    }
}

/// `--block RU,UA`: replaces `block` or `allow-only`.
///
/// # Errors
/// What is wrong with the entries.
pub fn block(config: &mut Config, countries: &str) -> Result<(), ConfigErrors> {
    apply(config, "block", "--block", countries)
}

/// `--mode enforce`.
///
/// # Errors
/// When it is not a mode.
pub fn mode(config: &mut Config, mode: &str) -> Result<(), ConfigErrors> {
    apply(config, "mode", "--mode", mode)
}

/// `--listen 127.0.0.1:10317`.
///
/// # Errors
/// When it is not an address and a port.
pub fn listen(config: &mut Config, listen: &str) -> Result<(), ConfigErrors> {
    apply(config, "listen", "--listen", listen)
}

/// `--instance geofence-lan`.
///
/// # Errors
/// When it is no name.
pub fn instance(config: &mut Config, name: &str) -> Result<(), ConfigErrors> {
    apply(config, "instance", "--instance", name)
}

/// `--interface eth0`, any number of times: replaces `interfaces`; no name leaves them as they are.
///
/// # Errors
/// What is wrong with the names.
pub fn interfaces(config: &mut Config, names: &[String]) -> Result<(), ConfigErrors> {
    if names.is_empty() {
        return Ok(());
    }
    // No name has a comma, so the joined text is what it looks like.
    apply(config, "interfaces", "--interface", &names.join(","))
}

/// `--database FILE`, any number of times: replaces `databases`; no path leaves them as they are.
///
/// The path is used as it is, even if it is not UTF-8: the shell made it, and it starts at the current directory.
pub fn databases(config: &mut Config, paths: &[PathBuf]) {
    if !paths.is_empty() {
        paths.clone_into(&mut config.databases);
    }
}

fn apply(config: &mut Config, key: &str, option: &str, text: &str) -> Result<(), ConfigErrors> {
    let mut faults = Vec::new();
    if let Some(key) = KEYS.iter().find(|one| one.doc.name == key) {
        let value = if key.doc.kind.is_list() {
            Value::from_commas(text)
        } else {
            Value::from_option(text)
        };
        (key.set)(config, &value, &mut faults);
    }
    ConfigErrors::of(option, text, faults)
}
