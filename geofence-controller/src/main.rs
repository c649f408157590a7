//! The `geofence-controller` command: parse arguments, dispatch, and end as the outcome says.

use std::io::{Write as _, stdout};
use std::process::ExitCode;

use clap::Parser as _;
use geofence_controller::cli::Arguments;
use geofence_user::cli::{Terminal, finish};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut out = Terminal::new(stdout().lock());
    let outcome = arguments
        .dispatch(&mut out)
        .and_then(|outcome| Ok(out.flush().map(|()| outcome)?));
    finish(outcome)
}
