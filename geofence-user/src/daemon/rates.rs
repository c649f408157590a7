//! Reads the packet counters every few seconds, so that `geofence status` knows rates at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval};
use tracing::debug;

use super::recent_counts::{Counted, NewCounts, Sample};
use super::state::Daemon;
use super::sync::lock;
use crate::kernel::KernelError;

/// How often the counters are read. Rates cover this time, or up to twice as much.
const PERIOD: Duration = Duration::from_secs(10);

/// Reads the counters every few seconds; never ends.
pub async fn sample_counters(daemon: Arc<Daemon>) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = daemon.count_refusals() {
            debug!("cannot read the counters of flows: {error}");
        }
        match daemon.count() {
            Ok(sample) => lock(&daemon.recent_counts).push(sample),
            // A scrape and `status` report the same error.
            Err(error) => debug!("cannot read the counters: {error}"),
        }
    }
}

impl Daemon {
    /// The packet counters of this moment.
    pub fn count(&self) -> Result<Sample, KernelError> {
        let slots: Vec<u32> = lock(&self.interfaces).iter().map(|one| one.slot).collect();
        let filter = lock(&self.filter);
        let mut counted = Counted::new();
        for slot in slots {
            for (key, counter) in filter.counters(slot)? {
                *counted.entry(key).or_default() += counter;
            }
        }
        Ok(Sample {
            at: Instant::now(),
            counted,
        })
    }

    /// The rates of this moment; null if they cannot be known.
    pub(super) fn rates(&self) -> Value {
        let now = self.count();
        now.map_or(Value::Null, |now| lock(&self.recent_counts).rates(&now))
    }

    /// What was counted in the last seconds; none if it cannot be known.
    #[must_use]
    pub fn new_counts(&self) -> Option<NewCounts> {
        let now = self.count().ok()?;
        lock(&self.recent_counts).until(&now)
    }
}
