//! The `geofence-fleet` command: parse arguments, dispatch, print the error, choose the exit code.

use std::io::{ErrorKind, Write as _, stderr, stdout};
use std::process::ExitCode;

use clap::Parser as _;
use geofence_fleet::cli::Arguments;
use geofence_user::cli::{Outcome, Terminal};
use geofence_user::model::text::printable;

/// The answer is no.
const NO: u8 = 1;
/// The command could not do its work.
const TROUBLE: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut out = Terminal::new(stdout().lock());
    let outcome = arguments
        .dispatch(&mut out)
        .and_then(|outcome| Ok(out.flush().map(|()| outcome)?));
    match outcome {
        Ok(Outcome::Yes) => ExitCode::SUCCESS,
        Ok(Outcome::No) => ExitCode::from(NO),
        // The reader closed the pipe because it has read enough.
        Err(error)
            if error
                .downcast_ref::<std::io::Error>()
                .is_some_and(|error| error.kind() == ErrorKind::BrokenPipe) =>
        {
            ExitCode::SUCCESS
        }
        Err(error) => {
            let text = printable(format!("{error:#}").trim_end());
            // Errors of a configuration have a heading of their own.
            let heading = if text.starts_with("error: ") {
                ""
            } else {
                "error: "
            };
            // Where standard error is closed, the message has no reader.
            let _ = writeln!(stderr(), "{heading}{text}");
            ExitCode::from(TROUBLE)
        }
    }
}
