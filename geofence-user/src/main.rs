//! The `geofence` command: parse arguments, dispatch, print the error, choose the exit code.

use std::io::{ErrorKind, Write as _, stdout};
use std::process::ExitCode;

use clap::Parser as _;
use geofence_user::cli::exit_code::{self, Trouble};
use geofence_user::cli::{Arguments, Outcome, Terminal, log_error};
use geofence_user::config::ConfigErrors;
use geofence_user::model::text::printable;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut out = Terminal::new(stdout().lock());
    let outcome = arguments
        .dispatch(&mut out)
        .and_then(|outcome| Ok(out.flush().map(|()| outcome)?));
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
            log_error(&text);
            ExitCode::from(code)
        }
    }
}
