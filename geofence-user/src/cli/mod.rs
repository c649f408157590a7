//! The command line: one verb a file. A verb reads its arguments, asks the library, writes an answer and says how it
//! went; `main` turns that into an exit code.

pub mod apply;
pub mod check;
pub mod confirm;
pub mod detach;
pub mod diff;
pub mod doctor;
pub mod events;
pub mod exception;
pub mod explain;
pub mod flows;
pub mod list;
pub mod lookup;
pub mod options;
pub mod reload;
pub mod revert;
pub mod run;
pub mod status;
pub mod update;
pub mod watch_sessions;

use std::io::Write;

use clap::{Parser, Subcommand};

use crate::checks::lockout::watcher;

/// How a command went, where it went at all; an error is trouble, exit code 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done, or the packet passes. Exit code 0.
    Yes,
    /// The answer is no, or the packet is dropped. Exit code 1.
    No,
}

/// Blocks network traffic by country in the kernel, and lets mail through.
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
    /// Carries the command out.
    ///
    /// # Errors
    /// Whatever kept it from an answer, with the way out.
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
