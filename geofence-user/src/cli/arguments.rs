//! The command line: which verb, and the function that carries it out.

use std::io::Write;

use clap::{CommandFactory as _, Parser, Subcommand};

use super::outcome::Outcome;
use super::waiting::Waiting;
use super::{
    apply, ban, capture, check, completions, confirm, detach, diff, doctor, events, exception,
    explain, flows, init, list, lookup, man_pages, reload, report, revert, run, schema, status,
    top, update, version, watch_sessions,
};
use crate::checks::lockout::watcher;

/// Blocks network traffic by country in the kernel, and passes mail.
#[derive(Debug, Parser)]
#[command(
    name = "geofence",
    version,
    // `version` below prints more on request.
    disable_version_flag = true,
    max_term_width = 100,
    arg_required_else_help = true,
    args_conflicts_with_subcommands = true
)]
pub struct Arguments {
    /// Print the version
    #[arg(short = 'V', long)]
    version: bool,
    /// With --version: print the commit, the compiler, the kernel's features and the date of the embedded data as well
    #[arg(long, requires = "version")]
    verbose: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Arguments),
    Run(run::Arguments),
    Reload(reload::Arguments),
    Apply(apply::Arguments),
    Confirm(confirm::Arguments),
    Revert(revert::Arguments),
    Status(status::Arguments),
    Top(top::Arguments),
    Report(report::Arguments),
    Detach(detach::Arguments),
    Check(check::Arguments),
    Diff(diff::Arguments),
    Doctor(doctor::Arguments),
    Lookup(lookup::Arguments),
    Explain(explain::Arguments),
    Exception(exception::Arguments),
    Ban(ban::Arguments),
    Unban(ban::UnbanArguments),
    Bans(ban::ListArguments),
    Flows(flows::Arguments),
    Events(events::Arguments),
    Capture(capture::Arguments),
    Update(update::Arguments),
    List(list::Arguments),
    Schema(schema::Arguments),
    Completions(completions::Arguments),
    #[command(hide = true)]
    ManPages(man_pages::Arguments),
    #[command(hide = true, name = watcher::VERB)]
    WatchSessions(watch_sessions::Arguments),
}

impl Command {
    /// The name of a command that may take longer than a second before it says something. The others talk at once, ask
    /// questions or show progress of their own.
    fn waits(&self) -> Option<&'static str> {
        match self {
            Self::Reload(_) => Some("reload"),
            Self::Apply(_) => Some("apply"),
            Self::Confirm(_) => Some("confirm"),
            Self::Revert(_) => Some("revert"),
            Self::Status(_) => Some("status"),
            Self::Top(arguments) if arguments.is_once() => Some("top"),
            Self::Report(_) => Some("report"),
            Self::Detach(_) => Some("detach"),
            Self::Check(_) => Some("check"),
            Self::Diff(_) => Some("diff"),
            Self::Doctor(_) => Some("doctor"),
            Self::Lookup(_) => Some("lookup"),
            Self::Explain(_) => Some("explain"),
            Self::Exception(_) => Some("exception"),
            Self::Ban(_) => Some("ban"),
            Self::Unban(_) => Some("unban"),
            Self::Bans(_) => Some("bans"),
            Self::Flows(_) => Some("flows"),
            Self::List(_) => Some("list"),
            Self::Init(_)
            | Self::Run(_)
            | Self::Top(_)
            | Self::Events(_)
            | Self::Capture(_)
            | Self::Update(_)
            | Self::Schema(_)
            | Self::Completions(_)
            | Self::ManPages(_)
            | Self::WatchSessions(_) => None,
        }
    }
}

impl Arguments {
    /// Runs the command.
    ///
    /// # Errors
    /// What prevented an answer, and what to do.
    pub fn dispatch(self, out: &mut dyn Write) -> anyhow::Result<Outcome> {
        let Some(command) = self.command else {
            version::version(self.verbose, out)?;
            return Ok(Outcome::Yes);
        };
        let mut out = Waiting::for_command(command.waits(), out);
        let out = &mut out;
        match command {
            Command::Init(arguments) => init::init(&arguments, out),
            Command::Run(arguments) => run::run(arguments),
            Command::Reload(arguments) => reload::reload(&arguments, out),
            Command::Apply(arguments) => apply::apply(&arguments, out),
            Command::Confirm(arguments) => confirm::confirm(&arguments, out),
            Command::Revert(arguments) => revert::revert(&arguments, out),
            Command::Status(arguments) => status::status(&arguments, out),
            Command::Top(arguments) => top::top(&arguments, out),
            Command::Report(arguments) => report::report(&arguments, out),
            Command::Detach(arguments) => detach::detach(&arguments, out),
            Command::Check(arguments) => check::check(&arguments, out),
            Command::Diff(arguments) => diff::diff(&arguments, out),
            Command::Doctor(arguments) => doctor::doctor(&arguments, out),
            Command::Lookup(arguments) => lookup::lookup(&arguments, out),
            Command::Explain(arguments) => explain::explain(&arguments, out),
            Command::Exception(arguments) => exception::exception(&arguments, out),
            Command::Ban(arguments) => ban::ban(&arguments, out),
            Command::Unban(arguments) => ban::unban(&arguments, out),
            Command::Bans(arguments) => ban::bans(&arguments, out),
            Command::Flows(arguments) => flows::flows(&arguments, out),
            Command::Events(arguments) => events::events(&arguments, out),
            Command::Capture(arguments) => capture::capture(&arguments, out),
            Command::Update(arguments) => update::update(&arguments, out),
            Command::List(arguments) => list::list(&arguments, out),
            Command::Schema(_) => schema::schema(out),
            Command::Completions(arguments) => {
                completions::completions(&arguments, Self::command(), out)
            }
            Command::ManPages(arguments) => man_pages::man_pages(&arguments, Self::command(), out),
            Command::WatchSessions(_) => watch_sessions::watch_sessions(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_of_every_command_agree() {
        Arguments::command().debug_assert();
    }
}
