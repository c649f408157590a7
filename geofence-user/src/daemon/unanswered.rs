//! What this side asks blocked countries and is not answered, because the kernel could not record that it asked.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use geofence_common::flow::Table;
use geofence_common::image::Replies;
use serde_json::{Value, json};

use super::state::Daemon;
use super::sync::lock;
use crate::kernel::KernelError;

/// How far back packets are counted.
const SPAN: Duration = Duration::from_secs(60);
/// More readings than there are in that time.
const READINGS_MAX: usize = 16;

/// Packets that opened no flow because their table took none, by table.
type Refused = [u64; Table::ALL.len()];

/// The last readings.
#[derive(Debug, Default)]
pub(super) struct Refusals(VecDeque<(Instant, Refused)>);

impl Refusals {
    fn push(&mut self, at: Instant, refused: Refused) {
        if self.0.len() == READINGS_MAX {
            self.0.pop_front();
        }
        self.0.push_back((at, refused));
    }

    /// How many there were in the last minute.
    fn recent(&self, at: Instant, now: Refused) -> Refused {
        let is_recent = |then: &Instant| at.duration_since(*then) <= SPAN;
        let first = self.0.iter().find(|(then, _)| is_recent(then));
        let (_, before) = first.copied().unwrap_or((at, now));
        std::array::from_fn(|table| now[table].saturating_sub(before[table]))
    }
}

impl Daemon {
    /// Counts the packets that opened no flow, for a later question.
    pub(super) fn count_refusals(&self) -> Result<(), KernelError> {
        let refused = self.refused()?;
        lock(&self.refusals).push(Instant::now(), refused);
        Ok(())
    }

    fn refused(&self) -> Result<Refused, KernelError> {
        let filter = lock(&self.filter);
        let mut refused = Refused::default();
        for (count, table) in refused.iter_mut().zip(Table::ALL) {
            *count = filter.flow_counters(table)?.full;
        }
        Ok(refused)
    }

    /// What goes unanswered now, as JSON: whether replies are off, and the packets of the last minute that opened no
    /// flow, by table.
    pub(super) fn unanswered(&self, replies: Replies) -> Value {
        let refused = self.refused().unwrap_or_default();
        let recent = lock(&self.refusals).recent(Instant::now(), refused);
        let recent: BTreeMap<_, _> = Table::ALL
            .into_iter()
            .map(Table::name)
            .zip(recent)
            .collect();
        json!({ "replies_off": replies == Replies::None, "no_flow": recent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_packets_of_the_last_minute_count() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut refusals = Refusals::default();
        assert_eq!(refusals.recent(at(0), [9, 0, 0]), [0; 3]);
        for tick in 0..30 {
            refusals.push(at(10 * tick), [tick, 0, 5]);
        }
        assert!(refusals.0.len() <= READINGS_MAX);
        assert_eq!(refusals.recent(at(295), [40, 0, 5]), [40 - 24, 0, 0]);
        assert_eq!(refusals.recent(at(1000), [40, 0, 5]), [0; 3]);
    }
}
