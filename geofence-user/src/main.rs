//! The `geofence` command: parse arguments, dispatch, print the error, choose the exit code.

use std::io::{ErrorKind, Write as _, stderr, stdout};
use std::process::ExitCode;

use clap::Parser as _;
use geofence_user::cli::{Arguments, Outcome};
use geofence_user::config::ConfigErrors;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut out = stdout().lock();
    let outcome = arguments
        .dispatch(&mut out)
        .and_then(|outcome| Ok(out.flush().map(|()| outcome)?));
    match outcome {
        Ok(Outcome::Yes) => ExitCode::SUCCESS,
        Ok(Outcome::No) => ExitCode::from(1),
        // Whoever closed the pipe has read enough.
        Err(error)
            if error
                .downcast_ref::<std::io::Error>()
                .is_some_and(|e| e.kind() == ErrorKind::BrokenPipe) =>
        {
            ExitCode::SUCCESS
        }
        Err(error) => {
            let text = format!("{error:#}");
            // Errors of a configuration come with a heading of their own and the lines they are about.
            let prefix = if error.is::<ConfigErrors>() {
                ""
            } else {
                "error: "
            };
            // Where standard error is closed, nobody is there to be told.
            let _ = writeln!(stderr(), "{prefix}{}", text.trim_end());
            ExitCode::from(2)
        }
    }
}
