//! The rows of the last hours and days, and what they add up to since a moment.

use std::collections::{BTreeSet, VecDeque};

use super::rows::{Row, new_since};
use crate::daemon::recent_counts::Counts;
use crate::model::units::UnixSeconds;

const MINUTES_MAX: usize = 6 * 60;
const HOURS_MAX: usize = 7 * 24;
const MINUTE: u64 = 60;
const HOUR: u64 = 3600;

/// The rows, and the counters by which the next one is worked out.
#[derive(Clone, Debug, Default)]
pub(in crate::daemon) struct History {
    /// The last reading of the counters, and when it was.
    pub(super) last: Option<(UnixSeconds, Counts)>,
    /// The kernel's identifier of the boot of that reading.
    pub(super) boot: u32,
    /// The last row is of a minute that is not over.
    pub(super) minutes: VecDeque<Row>,
    /// The last row is of an hour that is not over.
    pub(super) hours: VecDeque<Row>,
}

impl History {
    /// Takes the first reading of a daemon. Without an earlier one, what the counters say was before the history
    /// began, but for those of interfaces that this start attached to: they began at zero.
    pub(super) fn begin(
        &mut self,
        now: UnixSeconds,
        boot: u32,
        mut counts: Counts,
        attached: &BTreeSet<String>,
    ) {
        if self.last.is_none() {
            counts.interfaces.retain(|name, _| !attached.contains(name));
        }
        self.add(now, boot, counts);
    }

    /// Adds what was counted up to now.
    pub(super) fn add(&mut self, now: UnixSeconds, boot: u32, counts: Counts) {
        if let Some((then, before)) = &self.last {
            let none = Counts::default();
            let before = if self.boot == boot { before } else { &none };
            // The clock may have been set back.
            let start = (*then).min(now);
            let row = Row::new(start, now, &new_since(before, &counts));
            push(&mut self.hours, (HOUR, HOURS_MAX), row.clone());
            push(&mut self.minutes, (MINUTE, MINUTES_MAX), row);
        }
        self.last = Some((now, counts));
        self.boot = boot;
    }

    /// What was counted since a moment: by minutes if they reach back so far, and by hours otherwise.
    pub(super) fn since(&self, since: UnixSeconds) -> Row {
        let begins = |rows: &VecDeque<Row>| rows.front().map(|row| row.start);
        let needed = begins(&self.hours).map_or(since, |oldest| oldest.max(since));
        let rows = if begins(&self.minutes).is_some_and(|start| start <= needed) {
            &self.minutes
        } else {
            &self.hours
        };
        let mut sum: Option<Row> = None;
        for row in rows.iter().filter(|row| row.end > since) {
            match &mut sum {
                Some(sum) => sum.extend(row),
                None => sum = Some(row.clone()),
            }
        }
        let now = self.last.as_ref().map_or(since, |(now, _)| *now);
        sum.unwrap_or_else(|| Row {
            start: now,
            end: now,
            ..Row::default()
        })
    }

    /// When the history begins.
    pub(super) fn oldest(&self) -> Option<UnixSeconds> {
        self.hours.front().map(|row| row.start)
    }
}

/// Adds a row to the one of the same minute or hour, or as a new one.
fn push(rows: &mut VecDeque<Row>, (period, max): (u64, usize), row: Row) {
    if let Some(last) = rows.back_mut()
        && last.start.0 / period == row.start.0 / period
    {
        last.extend(&row);
        return;
    }
    if rows.len() == max {
        rows.pop_front();
    }
    rows.push_back(row);
}

#[cfg(test)]
pub(super) mod tests {
    use geofence_common::action::{Action, Reason};
    use geofence_common::country::Country;
    use geofence_common::maps::Counter;

    use super::*;
    use crate::daemon::recent_counts::Counted;

    pub(in super::super) fn counts(packets: u64) -> Counts {
        let key = (
            Country::from_code(*b"CN").unwrap(),
            Action::Pass,
            Reason::Mail,
        );
        let counter = Counter {
            packets,
            bytes: 60 * packets,
        };
        Counts {
            interfaces: [("eth0".to_owned(), Counted::from([(key, counter)]))].into(),
            tenants: [(
                "a".to_owned(),
                [((Action::Pass, Reason::Mail), counter)].into(),
            )]
            .into(),
        }
    }

    /// A history of this many minutes, with a packet a minute.
    pub(in super::super) fn minutes(minutes: u64) -> History {
        let mut history = History::default();
        for minute in 0..=minutes {
            history.add(UnixSeconds(60 * minute), 7, counts(1000 + minute));
        }
        history
    }

    fn packets(row: &Row) -> u64 {
        row.countries.values().map(|one| one.packets).sum()
    }

    #[test]
    fn the_first_reading_is_no_traffic_and_the_others_are() {
        let history = minutes(30);
        assert_eq!(packets(&history.since(UnixSeconds(0))), 30);
        assert_eq!(packets(&history.since(UnixSeconds(60 * 20))), 10);
        assert_eq!(history.oldest(), Some(UnixSeconds(0)));
    }

    #[test]
    fn beyond_the_minutes_whole_hours_are_added() {
        let all = 10 * 24 * 60;
        let history = minutes(all);
        assert_eq!(history.minutes.len(), MINUTES_MAX);
        assert_eq!(history.hours.len(), HOURS_MAX);
        let now = 60 * all;
        assert_eq!(packets(&history.since(UnixSeconds(now - 3600))), 60);
        assert_eq!(
            packets(&history.since(UnixSeconds(now - 24 * 3600))),
            24 * 60
        );
        // Nothing is left of what was before these days.
        let whole = history.since(UnixSeconds(0));
        assert_eq!(packets(&whole), 7 * 24 * 60);
        assert_eq!(whole.end, UnixSeconds(now));
    }

    #[test]
    fn what_an_interface_counted_before_the_first_reading_is_new_if_this_start_attached_to_it() {
        for (attached, expected) in [(BTreeSet::new(), 7), (["eth0".to_owned()].into(), 12)] {
            let mut history = History::default();
            history.begin(UnixSeconds(60), 7, counts(5), &attached);
            history.add(UnixSeconds(61), 7, counts(12));
            assert_eq!(packets(&history.since(UnixSeconds(0))), expected);
        }
    }

    #[test]
    fn readings_of_one_minute_are_one_row() {
        let mut history = History::default();
        for second in 0..=3 * 60 {
            history.add(UnixSeconds(second), 7, counts(second));
        }
        assert_eq!(history.minutes.len(), 3);
        assert_eq!(packets(&history.since(UnixSeconds(0))), 180);
        assert_eq!(packets(&history.since(UnixSeconds(120))), 60);
    }

    #[test]
    fn counters_of_another_boot_are_new() {
        let mut history = minutes(3);
        history.add(UnixSeconds(300), 8, counts(5000));
        assert_eq!(packets(&history.since(UnixSeconds(0))), 3 + 5000);
    }
}
