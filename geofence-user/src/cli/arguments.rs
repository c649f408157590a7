//! The command line: which verb, and the function that carries it out.

use std::io::Write;

use clap::{Parser, Subcommand};

use super::outcome::Outcome;
use super::{
    apply, check, confirm, detach, diff, doctor, events, exception, explain, flows, list, lookup,
    reload, revert, run, status, update, watch_sessions,
};
use crate::checks::lockout::watcher;

/// Blocks network traffic by country in the kernel, and passes mail.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, max_term_width = 100)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Arguments),
    Reload(reload::Arguments),
    Apply(apply::Arguments),
    Confirm(confirm::Arguments),
    Revert(revert::Arguments),
    Status(status::Arguments),
    Detach(detach::Arguments),
    Check(check::Arguments),
    Diff(diff::Arguments),
    Doctor(doctor::Arguments),
    Lookup(lookup::Arguments),
    Explain(explain::Arguments),
    Exception(exception::Arguments),
    Flows(flows::Arguments),
    Events(events::Arguments),
    Update(update::Arguments),
    List(list::Arguments),
    #[command(hide = true, name = watcher::VERB)]
    WatchSessions(watch_sessions::Arguments),
}

impl Arguments {
    /// Runs the command.
    ///
    /// # Errors
    /// What prevented an answer, and what to do.
    pub fn dispatch(self, out: &mut dyn Write) -> anyhow::Result<Outcome> {
        match self.command {
            Command::Run(arguments) => run::run(arguments),
            Command::Reload(arguments) => reload::reload(&arguments, out),
            Command::Apply(arguments) => apply::apply(&arguments, out),
            Command::Confirm(arguments) => confirm::confirm(&arguments, out),
            Command::Revert(arguments) => revert::revert(&arguments, out),
            Command::Status(arguments) => status::status(&arguments, out),
            Command::Detach(arguments) => detach::detach(&arguments, out),
            Command::Check(arguments) => check::check(&arguments, out),
            Command::Diff(arguments) => diff::diff(&arguments, out),
            Command::Doctor(arguments) => doctor::doctor(&arguments, out),
            Command::Lookup(arguments) => lookup::lookup(&arguments, out),
            Command::Explain(arguments) => explain::explain(&arguments, out),
            Command::Exception(arguments) => exception::exception(&arguments, out),
            Command::Flows(arguments) => flows::flows(&arguments, out),
            Command::Events(arguments) => events::events(&arguments, out),
            Command::Update(arguments) => update::update(&arguments, out),
            Command::List(arguments) => list::list(&arguments, out),
            Command::WatchSessions(_) => watch_sessions::watch_sessions(out),
        }
    }
}
