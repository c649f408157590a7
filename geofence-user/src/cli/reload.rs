//! `geofence reload`: makes the running daemon read its configuration and data again.

use std::io::Write;

use clap::Args;

use super::outcome::Outcome;
use super::request::{DaemonArgs, ForceArgs};
use crate::serve::control::Request;

/// Make the running daemon read its configuration and databases again
///
/// Exits with 0 when they are active, and with 1 when they were refused; then the previous policy stays active.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    force: ForceArgs,
    #[command(flatten)]
    daemon: DaemonArgs,
}

pub(super) fn reload(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let Arguments { force, daemon } = arguments;
    daemon.request(
        &Request::Reload(daemon.reload_options(force)?),
        "not reloaded, the active policy stays",
        |result| {
            Ok(format!(
                "reloaded: image {} is active",
                result["generation"]
            ))
        },
        out,
    )
}
