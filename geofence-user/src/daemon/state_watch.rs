//! The state directory can be removed while the daemon runs: that is said at once, and what was in it is written again
//! when there is a directory.
//!
//! The daemon may write to the directory that there was at its start. It cannot always make another one.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use super::state::Daemon;
use super::sync::{lock, run_blocking};
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
        was_there = is_there;
        let _change = daemon.change.lock().await;
        let daemon = Arc::clone(&daemon);
        let restored = run_blocking(move || daemon.restore_state(is_there)).await;
        if let Err(failure) = restored {
            warn!("{failure}");
        }
    }
}

impl Daemon {
    /// Writes again what the state directory had; says that it is gone, if it was and cannot be made again.
    fn restore_state(&self, is_there: bool) -> Result<(), Failure> {
        if !is_there {
            self.fall_short(Part::State, self.state.loss());
        }
        self.save_image();
        let runtime = lock(&self.active).config.runtime.clone();
        let store = &self.exception_store;
        if !self.state.exists() || runtime.list.is_empty() || store.file().exists() {
            return Ok(());
        }
        let text = runtime.to_file();
        let written = text.map(|text| store.write(&text));
        let lost = |error: &dyn std::fmt::Display| {
            let text = format!(
                "the runtime exceptions end with the next reload, because they are no longer stored: {error}"
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
