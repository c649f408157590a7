//! The figures of the page as server-sent events, one every two seconds.
//!
//! One task reads the counters for all clients, and only while there is one. A client that reads slowly gets the newest
//! figures when it is ready: what it missed is not kept for it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::Event;
use futures_util::Stream;
use futures_util::stream::unfold;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};
use tracing::debug;

use super::figures::{Sums, by_country, name_of};
use super::map::level;
use crate::daemon::{Daemon, NewCounts, Sample};
use crate::model::quantity::{bits, bytes, rate};
use crate::model::text::grouped;

/// How often there are new figures.
const PERIOD: Duration = Duration::from_secs(2);
/// How many clients follow them at once.
const CLIENTS_MAX: usize = 16;
/// A stream ends before the connection's time is over; the browser then opens another one.
const STREAM_MAX: Duration = Duration::from_secs(25);
/// How many rows of countries and reasons an event has: those with the highest rates.
const ROWS_MAX: usize = 300;

/// The newest figures, and the places of those who follow them.
#[derive(Clone)]
pub struct Live {
    figures: watch::Sender<Arc<str>>,
    places: Arc<Semaphore>,
}

impl Live {
    /// Starts the task that reads the counters.
    #[must_use]
    pub fn start(daemon: &Arc<Daemon>) -> Self {
        let figures = watch::Sender::new(Arc::from(""));
        tokio::spawn(follow(Arc::downgrade(daemon), figures.clone()));
        Self {
            figures,
            places: Arc::new(Semaphore::new(CLIENTS_MAX)),
        }
    }

    /// The figures from now on; none if there are too many clients.
    #[must_use]
    pub fn stream(&self) -> Option<impl Stream<Item = Result<Event, Infallible>> + use<>> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(stream_of(self.figures.subscribe(), place))
    }
}

fn stream_of(
    figures: watch::Receiver<Arc<str>>,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let end = Instant::now() + STREAM_MAX;
    unfold((figures, place), move |(mut figures, place)| async move {
        timeout_at(end, figures.changed()).await.ok()?.ok()?;
        let text = Arc::clone(&figures.borrow_and_update());
        let event = Event::default().retry(PERIOD).data(&*text);
        Some((Ok(event), (figures, place)))
    })
}

/// Reads the counters while a client follows; ends with the daemon.
async fn follow(daemon: std::sync::Weak<Daemon>, figures: watch::Sender<Arc<str>>) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before: Option<Sample> = None;
    loop {
        ticks.tick().await;
        let Some(daemon) = daemon.upgrade() else {
            return;
        };
        if figures.receiver_count() == 0 {
            before = None;
            continue;
        }
        match daemon.count() {
            Ok(now) => {
                let counts = before.as_ref().map(|before| now.since(before));
                let text = event(&now, counts.as_ref(), &daemon.mark()).to_string();
                figures.send_replace(text.into());
                before = Some(now);
            }
            // A scrape and `status` report the same error.
            Err(error) => debug!("cannot read the counters: {error}"),
        }
    }
}

/// The figures as the script reads them. All of it is numbers and names of closed sets.
fn event(now: &Sample, counts: Option<&NewCounts>, mark: &str) -> Value {
    let countries = by_country(&now.counted);
    let all = Sums::of(&now.counted);
    let countries: BTreeMap<&str, [Value; 4]> = countries
        .iter()
        .map(|(country, sums)| {
            let [blocked, passed] = [sums.blocked.packets, sums.passed.packets];
            let levels = [blocked, passed].map(|packets| json!(level(packets)));
            let counts = [blocked, passed].map(|packets| json!(grouped(packets)));
            let [[blocked, passed], [blocked_level, passed_level]] = [counts, levels];
            (
                country.name(),
                [blocked, passed, blocked_level, passed_level],
            )
        })
        .collect();
    let mut figures = json!({
        "blocked": grouped(all.blocked.packets),
        "passed": grouped(all.passed.packets),
    });
    let mut rows = BTreeMap::new();
    if let Some(counts) = counts {
        let new = Sums::of(&counts.counted);
        for (name, new) in [("blocked-rate", new.blocked), ("passed-rate", new.passed)] {
            figures[name] = rate(counts.per_second(new.packets)).into();
            let bits = bits(counts.per_second(8 * new.bytes));
            figures[format!("{name}-unit")] = format!("packets/s, {bits}").into();
        }
        let mut newest: Vec<_> = counts.counted.iter().collect();
        newest.sort_by_key(|(_, new)| std::cmp::Reverse(new.packets));
        for (key, new) in newest.into_iter().take(ROWS_MAX) {
            let counter = now.counted.get(key).copied().unwrap_or_default();
            let row = [
                grouped(counter.packets),
                bytes(counter.bytes),
                rate(counts.per_second(new.packets)),
            ];
            rows.insert(name_of(key), row);
        }
    }
    json!({ "figures": figures, "countries": countries, "rows": rows, "mark": mark })
}

#[cfg(test)]
mod tests {
    use geofence_common::action::{Action, Reason};
    use geofence_common::country::Country;
    use geofence_common::maps::Counter;

    use super::*;
    use crate::daemon::Counted;

    fn sample(at: std::time::Instant, packets: u64) -> Sample {
        let key = (
            Country::from_code(*b"RU").unwrap(),
            Action::Drop,
            Reason::CountryBlocked,
        );
        let counter = Counter {
            packets,
            bytes: 60 * packets,
        };
        Sample {
            at,
            counted: Counted::from([(key, counter)]),
        }
    }

    #[test]
    fn an_event_has_the_figures_of_the_page() {
        let start = std::time::Instant::now();
        let before = sample(start, 1000);
        let now = sample(start + Duration::from_secs(2), 3000);
        let event = event(&now, Some(&now.since(&before)), "enforce 3 1 0 0 false");
        assert_eq!(event["figures"]["blocked"], "3,000");
        assert_eq!(event["figures"]["blocked-rate"], "1,000");
        assert_eq!(
            event["figures"]["blocked-rate-unit"],
            "packets/s, 480.0 kbit/s"
        );
        assert_eq!(event["countries"]["RU"], json!(["3,000", "0", 2, 0]));
        assert_eq!(
            event["rows"]["RU drop country_blocked"],
            json!(["3,000", "180.0 kB", "1,000"])
        );
    }

    #[test]
    fn clients_have_places_and_a_slow_one_skips_what_it_missed() {
        use futures_util::StreamExt as _;

        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let live = Live {
                figures: watch::Sender::new(Arc::from("")),
                places: Arc::new(Semaphore::new(1)),
            };
            let mut first = Box::pin(live.stream().unwrap());
            assert!(live.stream().is_none());
            for text in ["one", "two", "three"] {
                live.figures.send_replace(Arc::from(text));
            }
            assert!(first.next().await.is_some());
            let another = tokio::time::timeout(Duration::from_millis(50), first.next()).await;
            assert!(another.is_err(), "what was missed is sent later");
            drop(first);
            assert!(live.stream().is_some());
        });
    }
}
