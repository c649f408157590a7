//! Packets of this side that opened no flow in the last minute, from readings some seconds apart.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use geofence_common::flow::Table;

/// How far back packets are counted.
const SPAN: Duration = Duration::from_secs(60);
/// More readings than there are in that time.
const READINGS_MAX: usize = 16;

/// Packets that opened no flow, by table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Refused {
    /// Because the table took none.
    pub(super) full: ByTable,
    /// Because the policy passes no replies.
    pub(super) unanswered: ByTable,
    /// Because they came in by an interface that faces outside.
    pub(super) foreign: ByTable,
    /// Because they may have come in by one.
    pub(super) unattributed: ByTable,
}

pub(super) type ByTable = [u64; Table::ALL.len()];

/// The last readings.
#[derive(Debug, Default)]
pub(super) struct Refusals(VecDeque<(Instant, Refused)>);

impl Refusals {
    pub(super) fn push(&mut self, at: Instant, refused: Refused) {
        if self.0.len() == READINGS_MAX {
            self.0.pop_front();
        }
        self.0.push_back((at, refused));
    }

    /// How many there were in the last minute.
    pub(super) fn recent(&self, at: Instant, now: Refused) -> Refused {
        let is_recent = |then: &Instant| at.duration_since(*then) <= SPAN;
        let first = self.0.iter().find(|(then, _)| is_recent(then));
        let (_, before) = first.copied().unwrap_or((at, now));
        Refused {
            full: more(now.full, before.full),
            unanswered: more(now.unanswered, before.unanswered),
            foreign: more(now.foreign, before.foreign),
            unattributed: more(now.unattributed, before.unattributed),
        }
    }
}

/// How much the numbers have grown.
fn more(now: ByTable, before: ByTable) -> ByTable {
    std::array::from_fn(|table| now[table].saturating_sub(before[table]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_packets_of_the_last_minute_count() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let refused = |full, unanswered| Refused {
            full,
            unanswered,
            foreign: unanswered,
            unattributed: full,
        };
        let mut refusals = Refusals::default();
        let none = Refused::default();
        assert_eq!(refusals.recent(at(0), refused([9, 0, 0], [0, 7, 0])), none);
        for tick in 0..30 {
            refusals.push(at(10 * tick), refused([tick, 0, 5], [0, 2 * tick, 0]));
        }
        assert!(refusals.0.len() <= READINGS_MAX);
        let now = refused([40, 0, 5], [0, 60, 0]);
        assert_eq!(
            refusals.recent(at(295), now),
            refused([40 - 24, 0, 0], [0, 60 - 48, 0])
        );
        assert_eq!(refusals.recent(at(1000), now), none);
    }
}
