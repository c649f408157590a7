//! Reads list events from the kernel, keeps the last of them, and logs them within bounds.
//!
//! The kernel bounds the events of each list. The log is bounded as well, so that a flood neither fills a disk nor
//! hides the first event of another list.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use geofence_common::action::Direction;
use geofence_common::event::Event;
use geofence_common::observe::Sample;
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use super::event_systems::name_system;
use super::events::{KEPT, event_line};
use super::observation::SAMPLES_WAIT;
use super::sinks::Sinks;
use super::state::Daemon;
use super::sync::lock;
use crate::kernel::{AllRecords, Arrivals, CapturedFrame, KernelError, Record, Records};
use crate::model::failure::Failure;
use crate::model::shortfall::Part;
use crate::os::clock::boot_now;

/// How long events gather before they are read: a flood wakes the daemon ten times a second at most.
const GATHER: Duration = Duration::from_millis(100);
/// The same of captured frames, which fill their buffer sooner.
const GATHER_FRAMES: Duration = Duration::from_millis(10);
/// How many events are read at once: a few more than the kernel's buffer holds.
const READ_MAX: usize = 4096;
/// Log lines a minute, in all and for one list.
const LINES: u32 = 60;
const LINES_OF_A_LIST: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);
/// How long a client waits for the next event before it is answered that there was none.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Logs an event as a line, with its parts as fields for the journal and for logs in JSON.
macro_rules! with_fields {
    ($level:ident, $event:expr) => {{
        let event = $event;
        let text = |key: &str| event[key].as_str();
        let number = |key: &str| event[key].as_u64();
        $level!(
            event.kind = text("event"),
            event.action = text("action"),
            event.reason = text("reason"),
            event.country = text("country"),
            event.as_number = number("as_number"),
            event.as_name = text("as_name"),
            event.exception = text("exception"),
            event.list = text("list"),
            event.tenant = text("tenant"),
            event.direction = text("direction"),
            event.interface = text("interface"),
            event.protocol = text("protocol"),
            event.src = text("src"),
            event.src_port = number("src_port"),
            event.dst = text("dst"),
            event.dst_port = number("dst_port"),
            event.length = number("length"),
            "event: {}",
            event_line(event)
        )
    }};
}

/// Reads everything that the kernel sends; ends only if it cannot be read.
pub async fn watch_records(records: AllRecords, daemon: Arc<Daemon>) {
    tokio::join!(
        watch_events(records.events, Arc::clone(&daemon)),
        watch_samples(records.samples, Arc::clone(&daemon)),
        watch_captured(records.captured, daemon),
    );
}

fn arrivals<R: Record>(records: Result<Records<R>, KernelError>) -> Result<Arrivals<R>, String> {
    match records.map(Arrivals::of) {
        Ok(Ok(arrivals)) => Ok(arrivals),
        Ok(Err(error)) => Err(error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

async fn watch_samples(samples: Result<Records<Sample>, KernelError>, daemon: Arc<Daemon>) {
    let mut arrivals = match arrivals(samples) {
        Ok(arrivals) => arrivals,
        Err(error) => {
            let text = format!("NO SAMPLES OF DROPS until geofence is restarted: {error}");
            return daemon.fall_short(Part::Samples, text);
        }
    };
    lock(&daemon.observation).can_sample = true;
    let mut budget = LogBudget::new(Instant::now());
    loop {
        let taken = arrivals.take(READ_MAX).await.unwrap_or_default();
        // Metrics count what is not logged.
        budget.renew(Instant::now());
        daemon.record_samples(taken, &mut budget);
        sleep(GATHER).await;
    }
}

async fn watch_captured(
    captured: Result<Records<CapturedFrame>, KernelError>,
    daemon: Arc<Daemon>,
) {
    let mut arrivals = match arrivals(captured) {
        Ok(arrivals) => arrivals,
        Err(error) => {
            let text = format!("NO CAPTURES until geofence is restarted: {error}");
            return daemon.fall_short(Part::Samples, text);
        }
    };
    lock(&daemon.observation).can_capture = true;
    loop {
        let taken = arrivals.take(READ_MAX).await.unwrap_or_default();
        daemon.record_frames(taken);
        sleep(GATHER_FRAMES).await;
    }
}

async fn watch_events(events: Result<Records<Event>, KernelError>, daemon: Arc<Daemon>) {
    let mut arrivals = match arrivals(events) {
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
    /// Starts what the configuration sends events to. The daemon has dropped its privileges by then.
    pub fn start_sinks(&self) {
        let config = Arc::clone(&lock(&self.active).config);
        // Once is enough: a reload does not change it.
        let _ = self.sinks.set(Sinks::start(&config.events));
    }

    /// Keeps events, and logs those marked to be logged.
    fn record_events(&self, events: Vec<(Event, bool)>) {
        let Ok(boot) = boot_now() else { return };
        let clocks = [boot.cast_signed(), Timestamp::now().as_millisecond()];
        let (systems, interfaces) = (self.systems(), self.interface_names());
        let names = lock(&self.names);
        let sinks = self.sinks.get();
        let mut recent = lock(&self.recent);
        for (event, is_logged) in events {
            let interface = (event.interface != 0).then_some(event.interface);
            let interface = interface.map(|index| interface_name(&interfaces, index));
            recent.add(event, interface, clocks);
            if let Some(sinks) = sinks.filter(|sinks| is_logged || !sinks.is_empty())
                && let Some(mut json) = recent.last(&names)
            {
                name_system(&mut json, systems.as_deref());
                if is_logged {
                    log_event(&json, event.direction());
                }
                sinks.send(json);
            }
        }
        self.event_count.send_replace(recent.count());
    }

    /// Keeps samples of drops, and logs some of them if they are events by the configuration.
    fn record_samples(&self, samples: Vec<Sample>, budget: &mut LogBudget) {
        let Ok(boot) = boot_now() else { return };
        let clocks = [boot.cast_signed(), Timestamp::now().as_millisecond()];
        let is_event = lock(&self.active).config.events.drops;
        let (names, interfaces) = (self.verdict_names(), self.interface_names());
        let systems = self.systems();
        let lists = lock(&self.names);
        let mut state = lock(&self.observation);
        let sinks = self.sinks.get().filter(|sinks| !sinks.is_empty());
        for sample in samples {
            let verdict = names.name(&sample.observed, &lists);
            let reason = u32::from(sample.observed.verdict.reason);
            let interface = interface_name(&interfaces, sample.interface);
            let sample = state.samples.add(sample, interface, verdict, clocks);
            let is_logged = is_event && budget.take_line(reason);
            if is_logged || sinks.is_some() {
                let mut json = sample.to_json();
                name_system(&mut json, systems.as_deref());
                if is_logged {
                    log_event(&json, Direction::In);
                }
                if let Some(sinks) = sinks {
                    sinks.send(json);
                }
            }
        }
        self.sample_count.send_replace(state.samples.count());
    }

    /// Hands frames to the capture that they were taken for.
    fn record_frames(&self, frames: Vec<CapturedFrame>) {
        let Ok(boot) = boot_now() else { return };
        let clock = i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX);
        let (names, interfaces) = (self.verdict_names(), self.interface_names());
        let lists = lock(&self.names);
        let mut state = lock(&self.observation);
        let Some(capture) = state.capture.as_mut() else {
            return;
        };
        for frame in frames {
            let header = &frame.header;
            if header.session != capture.session {
                continue;
            }
            let ago = boot.saturating_sub(header.time).cast_signed();
            let verdict = names.name(&header.observed, &lists);
            let interface = interface_name(&interfaces, header.interface);
            capture.add(frame, clock.saturating_sub(ago), interface, verdict);
        }
        drop((state, lists));
        self.frame_count.send_modify(|count| *count += 1);
    }

    /// The names of the protected interfaces, by index.
    fn interface_names(&self) -> BTreeMap<u32, String> {
        let interfaces = lock(&self.interfaces);
        let attached = interfaces.iter().filter_map(|one| {
            let attached = one.attached.as_ref()?;
            Some((attached.index, one.name.clone()))
        });
        attached.collect()
    }

    /// The events from this number on. If `wait` is set, waits a while for the first of them.
    pub async fn events_since(&self, since: u64, wait: bool) -> Value {
        if wait {
            let mut count = self.event_count.subscribe();
            // Without an event in time the answer is empty.
            let _ = tokio::time::timeout(WAIT_MAX, count.wait_for(|count| *count > since)).await;
        }
        self.list_events_since(since)
    }

    fn list_events_since(&self, since: u64) -> Value {
        let mut answer = {
            let names = lock(&self.names);
            lock(&self.recent).since(since, &names)
        };
        self.name_systems(&mut answer["events"]);
        answer
    }

    /// The list events from the first number on and the samples of drops from the second. If `follow` is set, has drops
    /// sampled for another while, and waits a moment for the first of either.
    ///
    /// # Errors
    /// If drops cannot be sampled, or what was counted cannot be read.
    pub async fn all_since(
        &self,
        [since, drops]: [u64; 2],
        follow: bool,
    ) -> Result<Value, Failure> {
        if follow {
            self.follow_samples()?;
            let mut events = self.event_count.subscribe();
            let mut samples = self.sample_count.subscribe();
            let either = async {
                tokio::select! {
                    _ = events.wait_for(|count| *count > since) => {}
                    _ = samples.wait_for(|count| *count > drops) => {}
                }
            };
            let _ = tokio::time::timeout(SAMPLES_WAIT, either).await;
        }
        let mut answer = self.list_events_since(since);
        answer["drops"] = self.samples_since(drops)?;
        self.name_systems(&mut answer["drops"]["events"]);
        Ok(answer)
    }
}

/// The name of an interface, or its index if it is not protected any more.
fn interface_name(names: &BTreeMap<u32, String>, index: u32) -> String {
    let name = names.get(&index).cloned();
    name.unwrap_or_else(|| format!("index {index}"))
}

/// A packet that leaves to a listed address may mean an infected host, so it is a warning; one that arrives is not.
fn log_event(event: &Value, direction: Direction) {
    match direction {
        Direction::Out => with_fields!(warn, event),
        Direction::In => with_fields!(info, event),
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
