//! Rates between two moments, and how they are printed without a terminal.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::sample::{Count, Sample, View};
use crate::model::quantity::{bits, rate};

/// Packets and bits a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rate {
    pub(super) blocked: f64,
    pub(super) passed: f64,
    pub(super) bits: f64,
}

impl Rate {
    fn between(before: Count, now: Count, seconds: f64) -> Self {
        let per_second = |before: u64, now: u64| now.saturating_sub(before) as f64 / seconds;
        Self {
            blocked: per_second(before.blocked, now.blocked),
            passed: per_second(before.passed, now.passed),
            bits: 8.0 * per_second(before.bytes, now.bytes),
        }
    }

    pub(super) fn packets(&self) -> f64 {
        self.blocked + self.passed
    }

    fn to_json(self) -> Value {
        json!({ "blocked": self.blocked, "passed": self.passed, "bits": self.bits })
    }
}

/// The rates of every row.
#[derive(Clone, Debug, Default)]
pub(super) struct Rates {
    pub(super) seconds: f64,
    pub(super) all: Rate,
    pub(super) rows: BTreeMap<(View, String), Rate>,
    pub(super) pairs: BTreeMap<(String, String), Rate>,
}

impl Rates {
    pub(super) fn between(before: &Sample, now: &Sample) -> Self {
        // Two readings of one moment are no measurement.
        let seconds = (now.time.saturating_sub(before.time) as f64 / 1e9).max(1e-3);
        Self {
            seconds,
            all: Rate::between(before.all, now.all, seconds),
            rows: rates(&before.rows, &now.rows, seconds),
            pairs: rates(&before.pairs, &now.pairs, seconds),
        }
    }

    /// The rows of a view with their names, those with most packets first.
    fn sorted(&self, view: View) -> Vec<(&str, Rate)> {
        let rows = self.rows.iter().filter(|((of, _), _)| *of == view);
        let mut rows: Vec<_> = rows
            .map(|((_, name), rate)| (name.as_str(), *rate))
            .collect();
        rows.sort_by(|(_, one), (_, other)| {
            let weight = |rate: &Rate| (rate.blocked, rate.packets());
            let ((a, b), (c, d)) = (weight(one), weight(other));
            c.total_cmp(&a).then(d.total_cmp(&b))
        });
        rows
    }

    /// One measurement as JSON.
    pub(super) fn to_json(&self, sample: &Sample) -> Value {
        let mut json = json!({
            "seconds": self.seconds,
            "mode": if sample.is_monitor { "monitor" } else { "enforce" },
            "policy": sample.policy,
            "all": self.all.to_json(),
        });
        for view in View::ALL {
            let rows = self.sorted(view).into_iter().map(|(name, rate)| {
                let mut row = rate.to_json();
                row[view.one()] = name.into();
                let count = sample.rows.get(&(view, name.to_owned()));
                let count = count.copied().unwrap_or_default();
                row["blocked_packets"] = count.blocked.into();
                row["passed_packets"] = count.passed.into();
                row
            });
            json[view.name()] = rows.collect();
        }
        json
    }

    /// One measurement as text: the rows of each view that has packets.
    pub(super) fn text(&self, sample: &Sample) -> String {
        let stopped = stopped(sample);
        let mut text = format!("{}\n", sample.policy);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{} packets/s {stopped}, {} packets/s passed, {}, in {:.1} s",
            rate(self.all.blocked),
            rate(self.all.passed),
            bits(self.all.bits),
            self.seconds
        );
        for view in View::ALL {
            let rows = self.sorted(view);
            let rows: Vec<_> = rows
                .into_iter()
                .filter(|(_, rate)| rate.packets() > 0.0)
                .collect();
            if rows.is_empty() {
                continue;
            }
            let _ = writeln!(text, "\n{:<28} {stopped:>18} {:>12}", view.one(), "passed");
            for (name, row) in rows {
                let (blocked, passed) = (rate(row.blocked), rate(row.passed));
                let _ = writeln!(text, "{name:<28} {blocked:>18} {passed:>12}");
            }
        }
        text
    }
}

/// What happens to blocked packets, in words.
pub(super) fn stopped(sample: &Sample) -> &'static str {
    if sample.is_monitor {
        "would be dropped"
    } else {
        "dropped"
    }
}

fn rates<K: Clone + Ord>(
    before: &BTreeMap<K, Count>,
    now: &BTreeMap<K, Count>,
    seconds: f64,
) -> BTreeMap<K, Rate> {
    let rates = now.iter().map(|(key, count)| {
        let earlier = before.get(key).copied().unwrap_or_default();
        (key.clone(), Rate::between(earlier, *count, seconds))
    });
    rates.collect()
}

#[cfg(test)]
mod tests {
    use super::super::sample::tests::answer;
    use super::*;

    #[test]
    fn rates_are_those_of_the_time_between() {
        let samples = [answer(0, 100, 10), answer(2_000_000_000, 300, 14)];
        let [before, now] = samples.map(|answer| Sample::read(&answer));
        let rates = Rates::between(&before, &now);
        let json = rates.to_json(&now);
        assert_eq!(json["all"]["blocked"], 100.0);
        assert_eq!(json["countries"][0]["country"], "RU");
        assert_eq!(json["countries"][0]["blocked_packets"], 300);
        assert_eq!(json["countries"][1]["passed"], 2.0);
        assert_eq!(json["lists"][0]["blocked"], 0.0);
        let text = rates.text(&now);
        assert!(
            text.contains("100 packets/s dropped, 2.0 packets/s passed"),
            "{text}"
        );
        assert!(text.contains("country_blocked"), "{text}");
        // A view without traffic has no table.
        assert!(!text.contains("feodo"), "{text}");
    }
}
