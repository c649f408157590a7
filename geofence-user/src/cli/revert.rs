//! `geofence revert`: ends the trial of a policy before its deadline.

use std::io::Write;

use clap::Args;

use super::outcome::Outcome;
use super::request::{DaemonArgs, in_part};
use crate::serve::control::Request;

/// End the trial of a policy at once and return to the previous policy
///
/// Exits with 0 when the previous policy is active again, and with 1 when no policy is on trial.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    daemon: DaemonArgs,
}

pub(super) fn revert(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    arguments.daemon.request(
        &Request::Revert,
        "nothing changed",
        |result| {
            let words = format!("image {} is active again", result["generation"]);
            Ok(words + &in_part(result))
        },
        out,
    )
}
