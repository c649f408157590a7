//! A running filter: the loaded program, the interfaces it is attached to, and what is known about its image.
//!
//! Control and observation only. Packets are judged by the kernel whether this process looks or not.

use std::sync::{Mutex, PoisonError};

use geofence_common::flow::Table;

use crate::kernel::flows::TableFacts;
use crate::kernel::{Attached, Filter, LoadError};
use crate::metrics::{Facts, Interface, Snapshot};

/// A filter and where it is attached.
pub struct Daemon {
    filter: Mutex<Filter>,
    attached: Vec<Attached>,
    facts: Facts,
}

/// Whether an interface is protected at this moment.
pub struct Protection {
    pub interface: String,
    pub mode: &'static str,
    pub is_protected: bool,
}

impl Daemon {
    #[must_use]
    pub fn new(filter: Filter, attached: Vec<Attached>, facts: Facts) -> Self {
        Self {
            filter: Mutex::new(filter),
            attached,
            facts,
        }
    }

    /// Asks the kernel whether each interface still runs the program.
    pub async fn protection(&self) -> Vec<Protection> {
        let mut all = Vec::with_capacity(self.attached.len());
        for attached in &self.attached {
            all.push(Protection {
                interface: attached.interface.clone(),
                mode: attached.mode,
                is_protected: attached.is_in_place().await,
            });
        }
        all
    }

    /// Reads every counter.
    pub async fn snapshot(&self) -> Result<Snapshot, LoadError> {
        let protection = self.protection().await;
        // A panic while the lock was held cannot have left a counter half-read.
        let filter = self.filter.lock().unwrap_or_else(PoisonError::into_inner);
        let mut interfaces = Vec::with_capacity(protection.len());
        for (attached, one) in self.attached.iter().zip(protection) {
            interfaces.push(Interface {
                name: one.interface,
                mode: one.mode,
                is_protected: one.is_protected,
                counters: filter.counters(attached.slot)?,
            });
        }
        let mut flows = [TableFacts::default(); Table::ALL.len()];
        for (facts, table) in flows.iter_mut().zip(Table::ALL) {
            *facts = filter.table_facts(table)?;
        }
        Ok(Snapshot {
            interfaces,
            flows,
            facts: self.facts.clone(),
        })
    }
}
