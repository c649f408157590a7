//! The task that adds a row a minute, and the file that outlives the daemon.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::{debug, warn};

use super::rows_since::History;
use crate::daemon::state::Daemon;
use crate::daemon::sync::{lock, run_blocking};
use crate::kernel::KernelError;
use crate::model::failure::{Cause, Failure};
use crate::model::units::UnixSeconds;
use crate::os::state::StateDirectory;
use crate::prepare::boot;

/// The time of a row.
const PERIOD: Duration = Duration::from_secs(60);
/// The file is written after so many rows.
const SAVE_ROWS: u32 = 5;

impl History {
    /// The history of the daemon before this one. A file that cannot be used is dropped.
    pub(in crate::daemon) fn of(state: &StateDirectory) -> Self {
        let bytes = match state.load_history() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Self::default(),
            Err(error) => {
                warn!(
                    "the history of packets starts again, because its file cannot be read: {error}"
                );
                return Self::default();
            }
        };
        Self::from_bytes(&bytes).unwrap_or_else(|error| {
            warn!("the history of packets starts again, because its file cannot be used: {error}");
            Self::default()
        })
    }
}

/// Adds a row a minute, and saves them; never ends.
pub async fn keep_history(daemon: Arc<Daemon>) {
    let mut ticks = interval_at(Instant::now() + PERIOD, PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut unsaved = 0;
    loop {
        ticks.tick().await;
        if let Err(error) = daemon.add_to_history() {
            // A scrape and `status` report the same error.
            debug!("cannot read the counters: {error}");
            continue;
        }
        unsaved += 1;
        if unsaved >= SAVE_ROWS {
            unsaved = 0;
            let saving = Arc::clone(&daemon);
            if let Err(failure) = run_blocking(move || saving.save_history()).await {
                // The state directory is watched, and its loss is reported.
                debug!("{failure}");
            }
        }
    }
}

impl Daemon {
    /// Takes the first reading, before the filter is reported to be in place.
    pub(in crate::daemon) fn begin_history(&self, attached: &BTreeSet<String>) {
        match self.counts() {
            Ok(counts) => {
                lock(&self.history).begin(UnixSeconds::now(), boot().id, counts, attached)
            }
            Err(error) => {
                warn!("cannot read the counters, so the history of packets begins later: {error}")
            }
        }
    }

    pub(super) fn add_to_history(&self) -> Result<(), KernelError> {
        let counts = self.counts()?;
        let now = UnixSeconds::now();
        lock(&self.history).add(now, boot().id, counts);
        Ok(())
    }

    /// Saves the history up to now, at the end of the daemon.
    pub fn end_history(&self) {
        let added = self.add_to_history();
        let added = added.map_err(|error| Failure::new(Cause::Kernel, error));
        if let Err(failure) = added.and_then(|()| self.save_history()) {
            warn!("the history of packets loses up to five minutes: {failure}");
        }
    }

    fn save_history(&self) -> Result<(), Failure> {
        let internal = |error: &dyn std::fmt::Display| Failure::new(Cause::Internal, error);
        let history = lock(&self.history).clone();
        let bytes = history.to_bytes().map_err(|error| internal(&error))?;
        self.state
            .save_history(&bytes)
            .map_err(|error| internal(&error))
    }
}
