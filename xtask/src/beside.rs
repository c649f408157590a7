//! Tests that run beside all others, one after the other: emulated machines, a fleet and a filter's life take minutes,
//! while most other tests wait. Both halves take about as long.
//!
//! They have a low priority: the others are timed, and these are not.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result, anyhow};

/// Their priority as for nice(1). A lower one would starve the guests while other programs use every core: beside two
/// busy loops, a guest of priority 10 waited for minutes for what a daemon does in seconds.
pub(crate) const NICE: &str = "5";
/// The suites, and the tests of each.
pub(crate) const SUITES: [(&str, &[&str]); 4] = [
    ("bench", &["every_benchmark_row_gives_the_right_answers"]),
    (
        "machines",
        &["kernels_of_debian_load_the_programs_and_filter"],
    ),
    ("life", &["no_change_of_the_filter_leaks_or_loses_a_packet"]),
    (
        "fleet",
        &[
            "fleet_has_one_policy_and_one_exception_and_each_node_stands_alone",
            "troubles_of_the_engine_show_and_change_nothing",
            "every_query_of_the_fleet_dashboard_has_data",
            "ban_of_the_fleet_follows_a_wall_clock_that_is_set_by_hours",
        ],
    ),
];

/// The running tests.
pub(crate) struct Beside {
    child: Child,
    output: JoinHandle<std::io::Result<Vec<u8>>>,
}

impl Beside {
    /// Starts the command line of the tests. What they print is kept, because two outputs at once could not be read.
    pub(crate) fn start(cargo: &mut Command) -> Result<Self> {
        let mut child = cargo
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the tests beside the others")?;
        let mut stdout = child.stdout.take().context("they have no output")?;
        let output = std::thread::spawn(move || {
            let mut kept = Vec::new();
            stdout.read_to_end(&mut kept).map(|_| kept)
        });
        Ok(Self { child, output })
    }

    /// Waits for their end, prints what they printed, and returns that as well.
    pub(crate) fn finish(mut self) -> Result<(String, ExitStatus)> {
        let output = self.output.join();
        let output =
            output.map_err(|_| anyhow!("reading the output of the tests beside the others"))??;
        let status = self
            .child
            .wait()
            .context("waiting for the tests beside the others")?;
        // A reader that has gone away does not stop the tests.
        let _ = std::io::stdout().write_all(&output);
        Ok((String::from_utf8_lossy(&output).into_owned(), status))
    }
}
