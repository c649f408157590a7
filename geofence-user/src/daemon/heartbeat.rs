//! The heartbeat of the daemon's loop: a sign each second that it still runs. The HTTP thread answers liveness probes.
//!
//! The service manager restarts a daemon whose sign is missing. The filter filters meanwhile, because it is pinned.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use crate::os::notify;

/// How often there is a sign.
const PERIOD: Duration = Duration::from_secs(1);
/// Without a sign for so long, the loop is wedged.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// The time of the last sign.
#[derive(Debug)]
pub struct Heartbeat {
    start: Instant,
    /// Milliseconds since the start.
    last: AtomicU64,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            last: AtomicU64::new(0),
        }
    }
}

impl Heartbeat {
    fn beat(&self) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    /// How long ago the last sign was.
    #[must_use]
    pub fn age(&self) -> Duration {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.start.elapsed().saturating_sub(last)
    }

    /// Whether the last sign is recent.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.age() <= SILENCE_MAX
    }
}

/// Gives a sign each second, also to the service manager if it asks for one; never ends.
pub async fn keep_beating(heartbeat: Arc<Heartbeat>) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failed = false;
    loop {
        ticks.tick().await;
        heartbeat.beat();
        if let Err(error) = notify::watchdog()
            && !std::mem::replace(&mut failed, true)
        {
            warn!("cannot report to the watchdog of the service manager: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heartbeat_is_alive_until_it_is_silent_for_too_long() {
        let Some(start) = Instant::now().checked_sub(Duration::from_secs(60)) else {
            return;
        };
        let heartbeat = Heartbeat {
            start,
            last: AtomicU64::new(0),
        };
        assert!(!heartbeat.is_alive());
        heartbeat.beat();
        assert!(heartbeat.is_alive());
    }
}
