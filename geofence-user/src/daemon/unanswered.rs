//! What this side asks blocked countries and is not answered, because the kernel did not record that it asked: the
//! table of flows took none, the policy passes no replies, or the packet was forwarded and may come from outside.

use std::collections::BTreeMap;
use std::time::Instant;

use geofence_common::flow::Table;
use geofence_common::image::Replies;
use serde_json::{Value, json};

use super::refusals::{ByTable, Refused};
use super::state::Daemon;
use super::sync::lock;
use crate::kernel::KernelError;

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
        for table in Table::ALL {
            let counted = filter.flow_counters(table)?;
            refused.full[table as usize] = counted.full;
            refused.foreign[table as usize] = counted.forwarded;
            refused.unanswered[table as usize] = filter.unanswered(table)?;
            refused.unattributed[table as usize] = filter.unattributed(table)?;
        }
        Ok(refused)
    }

    /// What goes unanswered now, as JSON: whether replies are off, and the packets of the last minute that opened no
    /// flow, by table: where the table took none, where replies are off, and where they were forwarded.
    pub(super) fn unanswered(&self, replies: Replies) -> Value {
        let refused = self.refused().unwrap_or_default();
        let recent = lock(&self.refusals).recent(Instant::now(), refused);
        let named = |counts: ByTable| -> BTreeMap<_, _> {
            let names = Table::ALL.into_iter().map(Table::name);
            names.zip(counts).collect()
        };
        json!({
            "replies_off": replies == Replies::None,
            "no_flow": named(recent.full),
            "no_replies": named(recent.unanswered),
            "foreign": named(recent.foreign),
            "unattributed": named(recent.unattributed),
        })
    }
}
