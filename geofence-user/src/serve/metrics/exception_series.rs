//! Which exceptions have a series of their own: the thousand with the most packets.
//!
//! There may be a hundred thousand. The others are counted together, and their counter never goes down: it sums what
//! each of them counted while it had no series. An exception gets the series of another only when it has twice as many
//! packets, so that series do not come and go.

use std::collections::{BTreeMap, BTreeSet};

/// How many exceptions and protections have a series of their own.
const OWN_MAX: usize = 1000;
/// The kind and the name under which the others are counted. No exception has this kind.
const OTHER: (&str, &str) = ("other", "other");

type Key = (&'static str, String);

/// The series of exceptions and protections.
#[derive(Debug, Default)]
pub(super) struct OwnExceptions {
    own: BTreeSet<Key>,
    /// What was counted of each exception, at the last scrape.
    counted: BTreeMap<Key, u64>,
    /// What exceptions without a series counted since the daemon started.
    others: u64,
}

/// The series to write.
pub(super) struct ExceptionSeries {
    pub(super) series: Vec<(&'static str, String, u64)>,
    /// How many exceptions with packets have no series of their own.
    pub(super) others: usize,
}

impl OwnExceptions {
    /// The series for these counters, by kind and name.
    pub(super) fn of(&mut self, hits: &[(&'static str, String, u64)]) -> ExceptionSeries {
        let hits: BTreeMap<Key, u64> = hits
            .iter()
            .map(|(kind, name, packets)| ((*kind, name.clone()), *packets))
            .collect();
        self.own.retain(|key| hits.contains_key(key));
        self.choose(&hits);
        for (key, packets) in hits.iter().filter(|(key, _)| !self.own.contains(*key)) {
            let before = self.counted.get(key).copied().unwrap_or(0);
            // A counter below its last value belongs to a new exception of the same name.
            self.others += packets.checked_sub(before).unwrap_or(*packets);
        }
        let others = hits.len() - self.own.len();
        let own = self.own.iter().filter_map(|key| {
            let packets = hits.get(key)?;
            Some((key.0, key.1.clone(), *packets))
        });
        let mut series: Vec<_> = own.collect();
        if self.others > 0 {
            series.push((OTHER.0, OTHER.1.to_owned(), self.others));
        }
        self.counted = hits;
        ExceptionSeries { series, others }
    }

    fn choose(&mut self, hits: &BTreeMap<Key, u64>) {
        let mut rest: Vec<_> = hits
            .iter()
            .filter(|(key, _)| !self.own.contains(*key))
            .collect();
        rest.sort_by_key(|(_, packets)| std::cmp::Reverse(**packets));
        let mut rest = rest.into_iter();
        let free = OWN_MAX.saturating_sub(self.own.len());
        let first = rest.by_ref().take(free).map(|(key, _)| key.clone());
        let first: Vec<_> = first.collect();
        self.own.extend(first);
        let mut smallest: Vec<(u64, Key)> = self
            .own
            .iter()
            .map(|key| (hits.get(key).copied().unwrap_or(0), key.clone()))
            .collect();
        smallest.sort();
        for ((least, loser), (winner, packets)) in smallest.into_iter().zip(rest) {
            if *packets < least.saturating_mul(2) {
                break;
            }
            self.own.remove(&loser);
            self.own.insert(winner.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(packets: impl Fn(usize) -> u64) -> Vec<(&'static str, String, u64)> {
        let all = (0..5000).map(|at| ("exception", format!("ticket-{at}"), packets(at)));
        all.collect()
    }

    fn other(series: &ExceptionSeries) -> u64 {
        let other = series.series.iter().find(|(kind, ..)| *kind == "other");
        other.map_or(0, |(_, _, packets)| *packets)
    }

    #[test]
    fn a_thousand_exceptions_with_the_most_packets_have_series_and_the_rest_is_one() {
        let mut own = OwnExceptions::default();
        let first = own.of(&hits(|at| at as u64 + 1));
        assert_eq!((first.series.len(), first.others), (1001, 4000));
        assert!(
            first
                .series
                .iter()
                .any(|(_, name, _)| name == "ticket-4999")
        );
        assert_eq!(other(&first), (1..=4000).sum::<u64>());
        // The first one becomes the busiest, and takes the place of another.
        let second = own.of(&hits(|at| if at == 0 { 100_000 } else { at as u64 + 1 }));
        assert_eq!(second.series.len(), 1001);
        assert!(second.series.iter().any(|(_, name, _)| name == "ticket-0"));
        assert_eq!(other(&second), other(&first));
        let third = own.of(&hits(|at| if at == 0 { 100_000 } else { at as u64 + 2 }));
        // 4,000 exceptions without a series, each with one packet more.
        assert_eq!(other(&third), other(&first) + 4000);
    }

    #[test]
    fn few_exceptions_have_no_series_for_others() {
        let few = OwnExceptions::default().of(&hits(|at| at as u64)[..10]);
        assert_eq!((few.series.len(), few.others), (10, 0));
    }
}
