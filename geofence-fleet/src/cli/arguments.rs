//! The verbs, and what each of them calls.

use std::io::Write;

use clap::{Parser, Subcommand};
use geofence_user::cli::Outcome;

use super::{agent, bootstrap, exceptions, releases, status, waves};

/// Manage a fleet: the same policies, exceptions and bans on every node
///
/// Nodes run `geofence-fleet agent`. Operators add exceptions and bans, and release policies, lists and databases in
/// waves. A node that fails returns to the previous content by itself, and the wave stops. Nodes keep filtering without
/// the engine.
#[derive(Debug, Parser)]
#[command(
    name = "geofence-fleet",
    version,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Agent(agent::Arguments),
    Bootstrap(bootstrap::Arguments),
    Exception(exceptions::ExceptionArguments),
    Ban(exceptions::BanArguments),
    Unban(exceptions::UnbanArguments),
    Bans(exceptions::BansArguments),
    Policy(releases::PolicyArguments),
    List(releases::ListArguments),
    Data(releases::DataArguments),
    Wave(waves::WaveArguments),
    Freeze(waves::FreezeArguments),
    Revert(waves::RevertArguments),
    Status(status::StatusArguments),
    Nodes(status::NodesArguments),
}

impl Arguments {
    /// Does what was asked for.
    ///
    /// # Errors
    /// Why it could not.
    pub fn dispatch(&self, out: &mut dyn Write) -> anyhow::Result<Outcome> {
        match &self.verb {
            Verb::Agent(arguments) => agent::agent(arguments),
            Verb::Bootstrap(arguments) => bootstrap::bootstrap(arguments, out),
            Verb::Exception(arguments) => exceptions::exception(arguments, out),
            Verb::Ban(arguments) => exceptions::ban(arguments, out),
            Verb::Unban(arguments) => exceptions::unban(arguments, out),
            Verb::Bans(arguments) => exceptions::bans(arguments, out),
            Verb::Policy(arguments) => releases::policy(arguments, out),
            Verb::List(arguments) => releases::list(arguments, out),
            Verb::Data(arguments) => releases::data(arguments, out),
            Verb::Wave(arguments) => waves::wave(arguments, out),
            Verb::Freeze(arguments) => waves::freeze(arguments, out),
            Verb::Revert(arguments) => waves::revert(arguments, out),
            Verb::Status(arguments) => status::status(arguments, out),
            Verb::Nodes(arguments) => status::nodes(arguments, out),
        }
    }
}
