//! Options of the command line that stand for keys: the same readers, the same errors, the option named for the file.

use std::path::PathBuf;

use super::error::ConfigErrors;
use super::value::Given;
use super::{Config, keys};

/// `--block RU,UA`: takes the place of `block` or `allow-only`.
///
/// # Errors
/// What is wrong with the entries.
pub fn block(config: &mut Config, countries: &str) -> Result<(), ConfigErrors> {
    apply(
        config,
        "block",
        "--block",
        countries,
        &Given::from_commas(countries),
    )
}

/// `--mode enforce`.
///
/// # Errors
/// When it is not a mode.
pub fn mode(config: &mut Config, mode: &str) -> Result<(), ConfigErrors> {
    apply(config, "mode", "--mode", mode, &Given::from_option(mode))
}

/// `--listen 127.0.0.1:10317`.
///
/// # Errors
/// When it is not an address and a port.
pub fn listen(config: &mut Config, listen: &str) -> Result<(), ConfigErrors> {
    apply(
        config,
        "listen",
        "--listen",
        listen,
        &Given::from_option(listen),
    )
}

/// `--instance geofence-lan`.
///
/// # Errors
/// When it is no name.
pub fn instance(config: &mut Config, name: &str) -> Result<(), ConfigErrors> {
    apply(
        config,
        "instance",
        "--instance",
        name,
        &Given::from_option(name),
    )
}

/// `--interface eth0`, any number of times: takes the place of `interfaces`; none leaves them alone.
///
/// # Errors
/// What is wrong with the names.
pub fn interfaces(config: &mut Config, names: &[String]) -> Result<(), ConfigErrors> {
    if names.is_empty() {
        return Ok(());
    }
    // No name has a comma, so the joined text is what it looks like.
    let text = names.join(",");
    apply(
        config,
        "interfaces",
        "--interface",
        &text,
        &Given::from_commas(&text),
    )
}

/// `--database FILE`, any number of times: takes the place of `databases`; none leaves them alone.
///
/// The path is used as it is, also when it is not UTF-8: the shell has made it, and it starts where the shell is.
pub fn databases(config: &mut Config, paths: &[PathBuf]) {
    if !paths.is_empty() {
        paths.clone_into(&mut config.databases);
    }
}

fn apply(
    config: &mut Config,
    key: &str,
    option: &str,
    text: &str,
    given: &Given<'_>,
) -> Result<(), ConfigErrors> {
    let mut faults = Vec::new();
    if let Some(key) = keys::find(key) {
        (key.set)(config, given, &mut faults);
    }
    ConfigErrors::of(option, text, faults)
}
