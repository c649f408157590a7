//! `geofence watch-sessions`: the daemon's SSH session helper, never started by hand.

use std::io::{Write, stdin};

use clap::Args;

use super::outcome::Outcome;
use crate::checks::lockout::watcher;
use crate::os::privilege;

/// Report SSH sessions to the daemon; started by `geofence run`
#[derive(Args, Debug)]
pub struct Arguments {}

pub(super) fn watch_sessions(out: &mut dyn Write) -> anyhow::Result<Outcome> {
    privilege::restrict_to_inspection()?;
    // The terminal sends Ctrl-C to the helper as well, and the daemon may still ask while it ends.
    let ignore = nix::sys::signal::SigSet::from_iter([
        nix::sys::signal::Signal::SIGINT,
        nix::sys::signal::Signal::SIGHUP,
    ]);
    ignore.thread_block()?;
    watcher::answer(stdin().lock(), out)?;
    Ok(Outcome::Yes)
}
