//! `geofence-fleet agent`: follows the fleet on a node.

use clap::Args;
use geofence_user::cli::Outcome;
use geofence_user::cli::log::LogArgs;

use super::options::{SettingsArgs, runtime};
use crate::agent;

/// Do on this node what the fleet wants
///
/// Follows the engine, and asks the daemon of this machine for exceptions, bans and policies. Needs no privilege, only
/// that `fleet-user` in the daemon's configuration names the user that this runs as. Without the engine, the node
/// filters on by what it has.
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
