//! How a program runs and ends: where it prints, the error that it prints, and its exit code.

use std::io::{ErrorKind, Write, stdout};
use std::process::ExitCode;

use super::exit_code::{self, Trouble};
use super::log;
use super::outcome::Outcome;
use super::terminal::Terminal;
use crate::config::ConfigErrors;
use crate::model::text::printable;

/// Runs a command that prints to standard output, and ends as its outcome says.
#[must_use]
pub fn run_command(command: impl FnOnce(&mut dyn Write) -> anyhow::Result<Outcome>) -> ExitCode {
    let mut out = Terminal::new(stdout().lock());
    let outcome = command(&mut out);
    finish(outcome.and_then(|outcome| Ok(out.flush().map(|()| outcome)?)))
}

/// Prints the error, if there is one, and chooses the exit code.
fn finish(outcome: anyhow::Result<Outcome>) -> ExitCode {
    match outcome {
        Ok(Outcome::Yes) => ExitCode::SUCCESS,
        Ok(Outcome::No) => ExitCode::from(1),
        // The reader closed the pipe because it has read enough.
        Err(error)
            if error
                .downcast_ref::<std::io::Error>()
                .is_some_and(|e| e.kind() == ErrorKind::BrokenPipe) =>
        {
            ExitCode::SUCCESS
        }
        Err(error) => {
            let (error, code) = match error.downcast::<Trouble>() {
                Ok(trouble) => (trouble.error, trouble.code),
                Err(error) => (error, exit_code::OTHER),
            };
            // Names and paths in it come from files, but a configuration error marks its lines in colour itself.
            let is_marked = error.is::<ConfigErrors>();
            let text = format!("{error:#}");
            let text = if is_marked { text } else { printable(&text) };
            // Errors of a configuration have a heading of their own.
            let prefix = if is_marked { "" } else { "error: " };
            let text = format!("{prefix}{}", text.trim_end());
            log::error(&text);
            ExitCode::from(code)
        }
    }
}
