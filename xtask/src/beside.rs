//! A test that runs beside all others, because the emulated machines take minutes and most other tests wait.
//!
//! It has a low priority: the others are timed, and it is not.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result, anyhow};

/// Its priority as for nice(1). The lowest would starve the guests while other tests use every core.
pub(crate) const NICE: &str = "10";
/// The suite, and its one test.
pub(crate) const SUITE: &str = "machines";
pub(crate) const TEST: &str = "kernels_of_debian_load_the_programs_and_filter";

/// The running test.
pub(crate) struct Beside {
    child: Child,
    output: JoinHandle<std::io::Result<Vec<u8>>>,
}

impl Beside {
    /// Starts the command line of the test. What it prints is kept, because two outputs at once could not be read.
    pub(crate) fn start(cargo: &mut Command) -> Result<Self> {
        let mut child = cargo
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the emulated machines")?;
        let mut stdout = child.stdout.take().context("they have no output")?;
        let output = std::thread::spawn(move || {
            let mut kept = Vec::new();
            stdout.read_to_end(&mut kept).map(|_| kept)
        });
        Ok(Self { child, output })
    }

    /// Waits for its end, prints what it printed, and returns that as well.
    pub(crate) fn finish(mut self) -> Result<(String, ExitStatus)> {
        let output = self.output.join();
        let output =
            output.map_err(|_| anyhow!("reading the output of the emulated machines"))??;
        let status = self.child.wait().context("waiting for the machines")?;
        // A reader that has gone away does not stop the tests.
        let _ = std::io::stdout().write_all(&output);
        Ok((String::from_utf8_lossy(&output).into_owned(), status))
    }
}
