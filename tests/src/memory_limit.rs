//! A bound on the memory of a daemon, such as a container or a unit sets it.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::Result;

use crate::daemon::{Daemon, binary};
use crate::edge::{LISTEN, PATIENCE};
use crate::privilege::skip;
use crate::site::{CONFIG, Site};
use crate::wait::poll;

/// What the suites of hostile inputs give a daemon.
const BYTES: u64 = 200 << 20;
/// How long the processes of a group may take to end.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// A control group of version 1 or 2 that holds 200 MiB. It is removed when it goes out of scope, which must be after
/// its daemons have ended.
#[derive(Debug)]
pub struct MemoryLimit(PathBuf);

impl MemoryLimit {
    /// Makes one for the test of the calling thread; reports that the test is skipped where that cannot be done.
    #[must_use]
    pub fn for_test() -> Option<Self> {
        let thread = thread::current();
        let name = thread.name().unwrap_or("a test");
        let places = [
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            ("/sys/fs/cgroup", "memory.max"),
        ];
        let made = places.into_iter().find_map(|(root, limit)| {
            let group = format!("geofence-{}-{name}", std::process::id());
            let group = Path::new(root).join(group);
            fs::create_dir(&group).ok()?;
            let group = Self(group);
            fs::write(group.0.join(limit), BYTES.to_string()).ok()?;
            Some(group)
        });
        if made.is_none() {
            skip(name, "no control group with a memory limit can be made");
        }
        made
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        // A group that stays costs nothing.
        let _ = poll(END_PATIENCE, || Ok(fs::remove_dir(&self.0).ok()));
    }
}

impl Site {
    /// Starts a daemon that is in the group from its first instant; see [`Self::run`].
    pub fn run_within(&self, limit: &MemoryLimit) -> Result<Daemon> {
        let edge = &self.edge.pair.edge;
        let mut command = edge.command("sh");
        let group = limit.0.display();
        let enter = format!("echo $$ > {group}/cgroup.procs && exec \"$0\" \"$@\"");
        command.args(["-c", &enter]).arg(binary()?);
        command.args(["run", "--config", &self.word(CONFIG)?, "--listen", LISTEN]);
        command.args(["--interface", self.edge.interface()]);
        let mut daemon = Daemon::spawn(edge, command)?;
        daemon.wait_healthy(LISTEN.parse()?, PATIENCE)?;
        Ok(daemon)
    }
}
