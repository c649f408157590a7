//! `geofence watch-sessions`: the daemon's helper that sees who is logged in; never started by hand.

use std::io::{Write, stdin};

use clap::Args;

use super::outcome::Outcome;
use crate::checks::lockout::watcher;
use crate::os::privilege;

/// Tell the daemon who is logged in over SSH; started by `geofence run` itself
#[derive(Args, Debug)]
pub struct Arguments {}

pub(super) fn watch_sessions(out: &mut dyn Write) -> anyhow::Result<Outcome> {
    privilege::restrict_to_inspection()?;
    // The terminal's Ctrl-C is for the daemon, which may still ask while it ends.
    let ignore = nix::sys::signal::SigSet::from_iter([
        nix::sys::signal::Signal::SIGINT,
        nix::sys::signal::Signal::SIGHUP,
    ]);
    ignore.thread_block()?;
    watcher::answer(stdin().lock(), out)?;
    Ok(Outcome::Yes)
}
