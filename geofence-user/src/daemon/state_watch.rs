//! Notices at once that the state directory was removed while the daemon runs, and reports it. The policy and the
//! runtime exceptions stay in force, and the daemon writes its files again when the directory is back.
//!
//! The daemon may write to the directory that there was at its start, and Landlock knows that by its inode. A rule that
//! let the daemon make another one would have to cover everything below the parent, `/var/lib`: with that, a process of
//! root regains all that it gave up. The systemd unit also shows the daemon its parent read-only. So another directory
//! needs a restart; the log, `status` and `/healthz` name the command.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use super::active::ActivePolicy;
use super::state::Daemon;
use super::sync::{lock, run_blocking};
use crate::config::Config;
use crate::model::failure::{Cause, Failure};
use crate::model::shortfall::Part;

/// How often the directory is looked for.
const PERIOD: Duration = Duration::from_secs(1);

/// Looks for the state directory; never ends.
pub async fn watch_state(daemon: Arc<Daemon>) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_there = daemon.state.exists();
    loop {
        ticks.tick().await;
        let is_there = daemon.state.exists();
        if is_there == was_there {
            continue;
        }
        let before = was_there;
        let _change = daemon.change.lock().await;
        let restored = {
            let daemon = Arc::clone(&daemon);
            run_blocking(move || daemon.restore_state(before)).await
        };
        if let Err(failure) = restored {
            warn!("{failure}");
        }
        was_there = daemon.state.exists();
    }
}

impl Daemon {
    /// Adds the runtime exceptions to a configuration. If their file is gone with its directory, these are those that
    /// are active.
    pub(super) fn with_runtime_exceptions(
        &self,
        config: Config,
        active: &ActivePolicy,
    ) -> Result<Config, Failure> {
        let store = &self.exception_store;
        let is_lost = !self.state.exists() || self.has_unsaved_image();
        if !is_lost || store.file().exists() {
            return store.add_to(config);
        }
        let internal = |error: &dyn std::fmt::Display| Failure::new(Cause::Internal, error);
        let text = active.config.runtime.to_file();
        let text = text.map_err(|error| internal(&error))?;
        let name = store.file().display().to_string();
        config
            .with_runtime_exceptions(&text, &name)
            .map_err(|errors| internal(&errors.render(false)))
    }

    /// Writes again what the state directory had; says that it is gone if it cannot be made again.
    fn restore_state(&self, was_there: bool) -> Result<(), Failure> {
        self.save_image();
        if !self.state.exists() {
            self.fall_short(Part::State, self.state.loss());
        } else if was_there {
            warn!("the state directory was removed, and geofence has recreated it");
        }
        let runtime = lock(&self.active).config.runtime.clone();
        let store = &self.exception_store;
        if !self.state.exists() || runtime.list.is_empty() || store.file().exists() {
            return Ok(());
        }
        let text = runtime.to_file();
        let written = text.map(|text| store.write(&text));
        let lost = |error: &dyn std::fmt::Display| {
            let text = format!(
                "the runtime exceptions are no longer stored, so they end when geofence ends: {error}"
            );
            Failure::new(Cause::Internal, text)
        };
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(lost(&error)),
            Err(error) => Err(lost(&error)),
        }
    }
}
