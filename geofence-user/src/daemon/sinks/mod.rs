//! Where events go beside the daemon's memory: a file, a syslog server, a flow collector.
//!
//! Each has a thread of its own, because a disk or a server may be slow. Events wait in a queue of bounded length; what
//! does not fit there, or cannot be delivered, is lost and counted. Sockets and files are opened by the threads, within
//! what the daemon may still do: the directory of the file, and connections to the port of the server.

mod file;
mod ipfix;
mod sink;
mod sockets;
mod syslog;
mod syslog_tls;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tracing::{info, warn};

use sink::Sink;

use crate::model::event_settings::EventSettings;

/// How many events wait for a sink.
const WAITING_MAX: usize = 8192;
/// How many events are delivered at once.
const BATCH_MAX: usize = 256;
/// How long a sink rests after a failure. Events that come meanwhile wait, as many as there is room for.
const REST: Duration = Duration::from_secs(1);

/// One sink, as the daemon sees it.
#[derive(Debug)]
struct Queue {
    name: &'static str,
    events: SyncSender<Arc<Value>>,
    lost: Arc<AtomicU64>,
}

/// Every sink of the configuration.
#[derive(Debug, Default)]
pub(super) struct Sinks(Vec<Queue>);

impl Sinks {
    /// Starts the sinks.
    pub(super) fn start(settings: &EventSettings) -> Self {
        let mut sinks = Self::default();
        if let Some(path) = &settings.file {
            let size = u64::from(settings.file_mib) << 20;
            let file = file::EventFile::new(path.clone(), size, settings.file_count);
            sinks.add("file", path.display().to_string(), file);
        }
        if let Some(server) = &settings.syslog {
            let ca = settings.syslog_ca.clone();
            let syslog = syslog::Syslog::new(server.clone(), ca);
            sinks.add("syslog", server.to_string(), syslog);
        }
        if let Some(collector) = settings.ipfix {
            sinks.add(
                "ipfix",
                collector.to_string(),
                ipfix::Exporter::new(collector),
            );
        }
        sinks
    }

    fn add(&mut self, name: &'static str, target: String, sink: impl Sink) {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&lost);
        let thread = thread::Builder::new().name(format!("events-{name}"));
        match thread.spawn(move || work(&receiver, sink, &target, &counter)) {
            Ok(_) => self.0.push(Queue {
                name,
                events: sender,
                lost,
            }),
            Err(error) => warn!("no events are sent to {name}: cannot start its thread: {error}"),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Hands an event to every sink.
    pub(super) fn send(&self, event: Value) {
        let event = Arc::new(event);
        for queue in &self.0 {
            if queue.events.try_send(Arc::clone(&event)).is_err() {
                queue.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// How many events each sink has lost.
    pub(super) fn lost(&self) -> Vec<(&'static str, u64)> {
        let lost = |queue: &Queue| (queue.name, queue.lost.load(Ordering::Relaxed));
        self.0.iter().map(lost).collect()
    }
}

/// Delivers what comes until the daemon ends.
fn work(receiver: &Receiver<Arc<Value>>, mut sink: impl Sink, target: &str, lost: &AtomicU64) {
    let mut is_failing = false;
    while let Ok(first) = receiver.recv() {
        let mut events = vec![first];
        events.extend(receiver.try_iter().take(BATCH_MAX - 1));
        match sink.deliver(&events) {
            Ok(()) => {
                if is_failing {
                    info!("events are delivered to {target} again");
                }
                is_failing = false;
            }
            Err(error) => {
                lost.fetch_add(events.len() as u64, Ordering::Relaxed);
                if !is_failing {
                    warn!(
                        "EVENTS ARE LOST: cannot deliver them to {target}, geofence keeps trying: {error}"
                    );
                }
                is_failing = true;
                thread::sleep(REST);
            }
        }
    }
}
