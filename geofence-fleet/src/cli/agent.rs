//! `geofence-fleet agent`: follows the fleet on a node.

use clap::Args;
use geofence_user::cli::Outcome;
use geofence_user::cli::log::LogArgs;

use super::options::{SettingsArgs, runtime};
use crate::agent;

/// Follow the fleet on this node
///
/// Reads exceptions, bans and releases from the engine, and asks the daemon of this machine to apply them. Needs no
/// privilege; `fleet-user` in the daemon's configuration must name the user that this runs as. Without the engine, the
/// node keeps filtering with what it has.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(flatten)]
    log: LogArgs,
}

pub(super) fn agent(arguments: &Arguments) -> anyhow::Result<Outcome> {
    arguments.log.start();
    let settings = arguments.settings.load()?;
    runtime()?.block_on(agent::run(settings))?;
    Ok(Outcome::Yes)
}
