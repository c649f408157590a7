//! Notices when the wall clock is set, and converts the deadlines of exceptions and entries again.
//!
//! The kernel compares deadlines with the boot clock, so a time is converted when an image is compiled. When the wall
//! clock is set, the daemon compiles a new image. An exception added for a duration keeps it: its end is rewritten.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{error, info, warn};

use super::attempts::Backoff;
use super::reload::ReloadOptions;
use super::state::Daemon;
use super::sync::{lock, run_blocking};
use crate::model::failure::{Cause, Failure};
use crate::model::policy::Lookup;
use crate::model::units::UnixSeconds;
use crate::os::clock::{Offset, boot_now, notify_when_set};
use crate::prepare::boot;

/// How often the clocks are compared when the kernel reports nothing.
const PERIOD: Duration = Duration::from_secs(1);

/// Converts deadlines anew whenever the wall clock is set; never ends.
pub async fn watch_clock(daemon: Arc<Daemon>) {
    let notice = Arc::new(Notify::new());
    if let Err(error) = notify_when_set(Arc::clone(&notice)) {
        warn!(
            "the kernel does not report a set clock, so clocks are compared once a second: {error}"
        );
    }
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut backoff = Backoff::default();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = notice.notified() => {}
        }
        // The kernel has room for two images, so the end of a trial is awaited.
        if !daemon.has_old_clock() || daemon.is_on_trial() {
            continue;
        }
        match daemon.follow_clock().await {
            Ok(()) => backoff = Backoff::default(),
            Err(failure) => {
                error!(
                    "the wall clock was set, and exceptions still expire by the old clock: {failure}. geofence keeps \
                     trying"
                );
                sleep(backoff.pause()).await;
            }
        }
    }
}

impl Daemon {
    /// The time of the wall clock by which the kernel lets exceptions expire.
    pub(super) fn kernel_time(&self) -> UnixSeconds {
        let (wall, then) = lock(&self.active).image.converted();
        boot_now().map_or(wall, |now| Offset::at(wall, then.now).wall_at(now))
    }

    /// Whether the wall clock was set since the deadlines of the active image were converted.
    fn has_old_clock(&self) -> bool {
        let (wall, then) = lock(&self.active).image.converted();
        Offset::now().is_ok_and(|now| now.differs(Offset::at(wall, then.now)))
    }

    /// Reloads, because ages and the ends of entries depend on the clock too. Where that is refused, the active image
    /// stays with its deadlines converted.
    async fn follow_clock(self: &Arc<Self>) -> Result<(), Failure> {
        info!("the wall clock was set: reloading");
        let change = self.change.lock().await;
        let daemon = Arc::clone(self);
        if let Err(failure) = run_blocking(move || daemon.keep_promises()).await {
            warn!("exceptions that were added for a duration end by the wall clock: {failure}");
        }
        drop(change);
        // A failure is logged and counted by the reload. If the clock was set meanwhile, the next look finds that.
        if self.reload(ReloadOptions::automatic()).await.is_ok() {
            return Ok(());
        }
        let _change = self.change.lock().await;
        let daemon = Arc::clone(self);
        run_blocking(move || daemon.convert_deadlines()).await
    }

    /// Converts the deadlines of the active image.
    fn convert_deadlines(&self) -> Result<(), Failure> {
        if !self.has_old_clock() || self.is_on_trial() {
            return Ok(());
        }
        let active = lock(&self.active).clone();
        if active.config.policy.lookup == Lookup::LpmTrie {
            let text = "the reference lookup needs a policy that can be reloaded";
            return Err(Failure::new(Cause::Internal, text));
        }
        let mut filter = lock(&self.filter);
        let generation = active.image.generation().wrapping_add(1);
        let image = active.image.as_ref().clone();
        let image = image
            .converted_anew(boot(), UnixSeconds::now())
            .restamped(generation, filter.next_slot());
        filter.install(&image, None)?;
        drop(filter);
        let mut active = lock(&self.active);
        active.facts.generation = generation;
        active.image = Arc::new(image);
        drop(active);
        self.save_image();
        info!("image {generation} is active: the same policy, with deadlines by the new clock");
        Ok(())
    }
}
