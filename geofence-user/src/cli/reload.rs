//! `geofence reload`: makes the running daemon read its configuration and data again.

use std::io::Write;

use clap::Args;

use super::outcome::Outcome;
use super::request::{DaemonArgs, ForceArgs, missing};
use crate::serve::control::Request;

/// Make the running daemon read its configuration and databases again
///
/// Exits with 0 when they are active as a whole. Exits with 1 when they were refused, so that the previous policy stays
/// active, and when a part of them is not in place: a list that is rejected or was never fetched, or data that is
/// missing.
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
            let generation = &result["generation"];
            let missing = missing(result);
            Ok(if missing.is_empty() {
                format!("reloaded: image {generation} is active")
            } else {
                format!("reloaded IN PART: image {generation} is active, and {missing}")
            })
        },
        out,
    )
}
