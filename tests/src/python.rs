//! Tools from PyPI, where `cargo xtask setup` has put them.

use std::path::PathBuf;
use std::process::Command;
use std::thread;

use crate::privilege;

/// A command line of such a tool; nothing, and a report that the test is skipped, if it is not installed.
#[must_use]
pub fn tool(name: &str) -> Option<Command> {
    let place = environment().map(|place| place.join("bin").join(name));
    match place {
        Some(path) if path.is_file() => Some(Command::new(path)),
        _ => {
            let test = thread::current();
            privilege::skip(
                test.name().unwrap_or("a test"),
                &format!("{name} is not installed; `cargo xtask setup` installs it"),
            );
            None
        }
    }
}

/// The environment, below cargo's output directory, where this test program is as well.
fn environment() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    let target = own
        .ancestors()
        .find(|place| place.join("xtask/python").is_dir())?;
    Some(target.join("xtask/python"))
}
