//! Reads list events from the kernel, keeps the last of them, and logs them within bounds.
//!
//! The kernel bounds the events of each list. The log is bounded as well, so that a flood neither fills a disk nor
//! hides the first event of another list.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use geofence_common::action::Direction;
use geofence_common::event::Event;
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use super::events::{KEPT, event_line};
use super::state::Daemon;
use super::sync::lock;
use crate::kernel::{Arrivals, Events, KernelError};
use crate::model::shortfall::Part;
use crate::os::clock::boot_now;

/// How long events gather before they are read: a flood wakes the daemon ten times a second at most.
const GATHER: Duration = Duration::from_millis(100);
/// How many events are read at once: a few more than the kernel's buffer holds.
const READ_MAX: usize = 4096;
/// Log lines a minute, in all and for one list.
const LINES: u32 = 60;
const LINES_OF_A_LIST: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);
/// How long a client waits for the next event before it is answered that there was none.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Reads what the kernel sends; never ends unless it cannot be read.
pub async fn watch_events(events: Result<Events, KernelError>, daemon: Arc<Daemon>) {
    let arrivals = match events.map(Arrivals::of) {
        Ok(Ok(arrivals)) => Ok(arrivals),
        Ok(Err(error)) => Err(error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let mut arrivals = match arrivals {
        Ok(arrivals) => arrivals,
        Err(error) => {
            let text = format!(
                "NO LIST EVENTS until geofence is restarted; list matches are only counted: {error}"
            );
            return daemon.fall_short(Part::Events, text);
        }
    };
    let mut budget = LogBudget::new(Instant::now());
    loop {
        tokio::select! {
            taken = arrivals.take(READ_MAX) => {
                let taken = taken.unwrap_or_default().into_iter();
                let events = taken.map(|event| (event, budget.take_line(event.list)));
                daemon.record_events(events.collect());
            }
            () = sleep_until(budget.ends), if budget.left_out != 0 => {}
        }
        let left_out = budget.renew(Instant::now());
        if left_out != 0 {
            warn!(
                "{left_out} more list events were not logged in the last minute; `geofence events` shows the last \
                 {KEPT}, and the metrics count all"
            );
        }
        sleep(GATHER).await;
    }
}

impl Daemon {
    /// Keeps events, and logs those marked to be logged.
    fn record_events(&self, events: Vec<(Event, bool)>) {
        let Ok(boot) = boot_now() else { return };
        let clocks = [boot.cast_signed(), Timestamp::now().as_millisecond()];
        let names = lock(&self.names);
        let mut recent = lock(&self.recent);
        for (event, is_logged) in events {
            recent.add(event, clocks);
            if is_logged && let Some(json) = recent.last(&names) {
                log_event(&json, event.direction());
            }
        }
        self.event_count.send_replace(recent.count());
    }

    /// The events from this number on. If `wait` is set, waits a while for the first of them.
    pub async fn events_since(&self, since: u64, wait: bool) -> Value {
        if wait {
            let mut count = self.event_count.subscribe();
            // Without an event in time the answer is empty.
            let _ = tokio::time::timeout(WAIT_MAX, count.wait_for(|count| *count > since)).await;
        }
        let names = lock(&self.names);
        lock(&self.recent).since(since, &names)
    }
}

/// A packet that leaves to a listed address may mean an infected host, so it is a warning; one that arrives is not.
fn log_event(event: &Value, direction: Direction) {
    match direction {
        Direction::Out => warn!("event: {}", event_line(event)),
        Direction::In => info!("event: {}", event_line(event)),
    }
}

/// What may still be logged in the present minute.
#[derive(Debug)]
struct LogBudget {
    ends: Instant,
    lines: u32,
    by_list: BTreeMap<u32, u32>,
    left_out: u64,
}

impl LogBudget {
    fn new(now: Instant) -> Self {
        Self {
            ends: now + MINUTE,
            lines: 0,
            by_list: BTreeMap::new(),
            left_out: 0,
        }
    }

    /// Takes a line for an event of this list; without one left, counts the event as left out.
    fn take_line(&mut self, list: u32) -> bool {
        let of_list = self.by_list.entry(list).or_default();
        if self.lines >= LINES || *of_list >= LINES_OF_A_LIST {
            self.left_out += 1;
            return false;
        }
        self.lines += 1;
        *of_list += 1;
        true
    }

    /// Begins another minute if this one is over; returns how many events were left out in it.
    fn renew(&mut self, now: Instant) -> u64 {
        if now < self.ends {
            return 0;
        }
        let left_out = self.left_out;
        *self = Self::new(now);
        left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_list_leaves_log_lines_for_others() {
        let start = Instant::now();
        let mut budget = LogBudget::new(start);
        let logged = (0..100_000).filter(|_| budget.take_line(1)).count();
        assert_eq!(logged, LINES_OF_A_LIST as usize);
        assert!(budget.take_line(2));
        let others = (3..1000).filter(|list| budget.take_line(*list)).count();
        assert_eq!(others as u32 + LINES_OF_A_LIST + 1, LINES);
        assert_eq!(budget.renew(start), 0, "the minute is not over");
        let left_out = 100_001 + 997 - u64::from(LINES);
        assert_eq!(budget.renew(start + MINUTE), left_out);
        assert!(budget.take_line(1), "another minute, other lines");
    }
}
