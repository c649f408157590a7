//! The `geofence-fleet` command: parse arguments, dispatch, and end as the outcome says.

use std::process::ExitCode;

use clap::Parser as _;
use geofence_fleet::cli::Arguments;
use geofence_user::cli::run_command;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    run_command(|out| arguments.dispatch(out))
}
