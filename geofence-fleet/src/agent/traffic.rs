//! What usually passes on this node: packets a second by reason, over the last hour.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use geofence_user::serve::control::Request;
use serde_json::Value;

use super::daemon::{DaemonClient, DaemonError};

/// How often the counters are read, and how many readings are kept: an hour.
pub(super) const PERIOD: Duration = Duration::from_secs(30);
const KEPT: usize = 120;

/// The packets that have passed, by reason.
pub(super) type Passed = BTreeMap<String, u64>;
/// Packets a second, by reason.
pub(super) type Rates = BTreeMap<String, f64>;

/// The counters at some moments.
#[derive(Clone, Debug, Default)]
pub(super) struct Traffic {
    readings: VecDeque<(Instant, Passed)>,
}

impl Traffic {
    pub(super) fn add(&mut self, at: Instant, passed: Passed) {
        // Counters only grow, except when the filter was detached and attached anew.
        let is_new = self.readings.back().is_some_and(|(_, last)| {
            let shrunk = |(reason, count): (&String, &u64)| {
                passed.get(reason).copied().unwrap_or_default() < *count
            };
            last.iter().any(shrunk)
        });
        if is_new {
            self.readings.clear();
        }
        self.readings.push_back((at, passed));
        while self.readings.len() > KEPT {
            self.readings.pop_front();
        }
    }

    /// What has passed in a second on average since the first reading.
    pub(super) fn usual(&self) -> Rates {
        match (self.readings.front(), self.readings.back()) {
            (Some(first), Some(last)) => rates(first, last),
            _ => Rates::new(),
        }
    }
}

/// What has passed in a second between two readings.
pub(super) fn rates(first: &(Instant, Passed), last: &(Instant, Passed)) -> Rates {
    let seconds = last.0.saturating_duration_since(first.0).as_secs_f64();
    if seconds <= 0.0 {
        return Rates::new();
    }
    let all = last.1.iter().map(|(reason, count)| {
        let before = first.1.get(reason).copied().unwrap_or_default();
        #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
        let rate = count.saturating_sub(before) as f64 / seconds;
        (reason.clone(), rate)
    });
    all.collect()
}

/// Reads the counters now.
pub(super) async fn read(daemon: &DaemonClient) -> Result<(Instant, Passed), DaemonError> {
    let counters = daemon.ask(Request::Counters).await?;
    Ok((Instant::now(), passed(&counters)))
}

fn passed(counters: &Value) -> Passed {
    let interfaces = counters["interfaces"].as_array().into_iter().flatten();
    let rows = interfaces.flat_map(|one| one["packets"].as_array().into_iter().flatten());
    let mut all = Passed::new();
    for row in rows.filter(|row| row["action"] == "pass") {
        let (Some(reason), Some(packets)) = (row["reason"].as_str(), row["packets"].as_u64())
        else {
            continue;
        };
        *all.entry(reason.to_owned()).or_default() += packets;
    }
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn passed_packets_are_summed_by_reason_over_interfaces_and_countries() {
        let row = |action: &str, reason: &str, packets: u64| {
            let counted = (action, reason, packets);
            json!({ "action": counted.0, "reason": counted.1, "packets": counted.2 })
        };
        let counters = json!({ "interfaces": [
            { "packets": [row("pass", "mail", 3), row("drop", "country_blocked", 9)] },
            { "packets": [row("pass", "mail", 4), row("pass", "allowed", 1)] },
        ] });
        let expected = [("mail".to_owned(), 7), ("allowed".to_owned(), 1)];
        assert_eq!(passed(&counters), expected.into());
    }

    #[test]
    fn usual_rate_is_that_of_the_readings_since_the_counters_began() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let one = |count: u64| Passed::from([("mail".to_owned(), count)]);
        let mut traffic = Traffic::default();
        assert!(traffic.usual().is_empty());
        traffic.add(at(0), one(100));
        traffic.add(at(10), one(300));
        assert_eq!(traffic.usual(), Rates::from([("mail".to_owned(), 20.0)]));
        // The filter was attached anew.
        traffic.add(at(20), one(10));
        traffic.add(at(30), one(20));
        assert_eq!(traffic.usual(), Rates::from([("mail".to_owned(), 1.0)]));
    }
}
