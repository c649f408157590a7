//! `geofence completions`: what a shell needs to complete commands and options.

use std::io::Write;

use clap::{Args, Command, ValueEnum};
use clap_complete::{Shell as Dialect, generate};

use super::outcome::Outcome;

/// Print the completions of commands and options for a shell
///
/// The packages install them. By hand: `geofence completions bash > /etc/bash_completion.d/geofence`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Shell to print them for
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Prints the completions of this command line.
pub(super) fn completions(
    arguments: &Arguments,
    mut command: Command,
    out: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    let dialect = match arguments.shell {
        Shell::Bash => Dialect::Bash,
        Shell::Zsh => Dialect::Zsh,
        Shell::Fish => Dialect::Fish,
    };
    let name = command.get_name().to_owned();
    // The generator panics where writing fails, and a reader may close the pipe early.
    let mut text = Vec::new();
    generate(dialect, &mut command, name, &mut text);
    out.write_all(&text)?;
    Ok(Outcome::Yes)
}
