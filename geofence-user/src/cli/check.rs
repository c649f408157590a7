//! `geofence check`.
use super::Outcome;
use std::io::Write;
/// Check
#[derive(clap::Args, Debug)]
pub struct Arguments {}
pub(super) fn check(_: &Arguments, _: &mut dyn Write) -> anyhow::Result<Outcome> {
    Ok(Outcome::Yes)
}
