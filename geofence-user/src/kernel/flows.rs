//! The tables of flows: read for people, for metrics and for `explain`; only the egress program writes them.

use aya::maps::{HashMap, Map, MapData, PerCpuArray};
use aya::programs::{ProgramError, TestRun as _, TestRunOptions};
use geofence_common::action::Action;
use geofence_common::flow::{Flow, FlowKey, Table};
use geofence_common::maps::{FlowCounters, name};

use super::filter::{Filter, LoadError, map_error};

/// What became of the packets that a table was asked about, and how full it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableFacts {
    pub counters: FlowCounters,
    /// Flows in the table, lapsed ones that nothing has displaced yet included.
    pub entries: u64,
    pub capacity: u32,
}

impl TableFacts {
    /// Flows that made room for others: nothing else removes one.
    #[must_use]
    pub fn evictions(&self) -> u64 {
        self.counters.opened.saturating_sub(self.entries)
    }
}

impl Filter {
    /// Every flow of a table, lapsed ones included.
    pub fn flows(&self, table: Table) -> Result<Vec<(FlowKey, Flow)>, LoadError> {
        read(self.map(name::FLOWS[table as usize])?)
    }

    /// What is known of a table.
    pub fn table_facts(&self, table: Table) -> Result<TableFacts, LoadError> {
        let failed = map_error("reading FLOW_COUNTERS");
        let counters: PerCpuArray<_, FlowCounters> = self
            .map(name::FLOW_COUNTERS)?
            .try_into()
            .map_err(map_error("opening FLOW_COUNTERS"))?;
        let mut sum = FlowCounters::default();
        for one in counters.get(&(table as u32), 0).map_err(failed)?.iter() {
            sum.opened += one.opened;
            sum.updated += one.updated;
            sum.forwarded += one.forwarded;
            sum.full += one.full;
        }
        let flows: HashMap<_, FlowKey, Flow> = self
            .map(name::FLOWS[table as usize])?
            .try_into()
            .map_err(map_error("opening a table of flows"))?;
        Ok(TableFacts {
            counters: sum,
            entries: flows.keys().filter(Result::is_ok).count() as u64,
            capacity: self.flow_capacity(table),
        })
    }

    /// Shows the egress program a frame as if it left by no interface in particular, and says what becomes of it.
    pub fn send(&mut self, frame: &[u8]) -> Result<Action, ProgramError> {
        /// What the program says of a packet that does not leave (`TC_ACT_SHOT`).
        const SHOT: u32 = 2;
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        let program = self
            .egress()
            .map_err(|error| ProgramError::IOError(std::io::Error::other(error)))?;
        Ok(if program.test_run(options)?.return_value == SHOT {
            Action::Drop
        } else {
            Action::Pass
        })
    }
}

/// Every flow of a table of flows.
pub(super) fn read(map: &Map) -> Result<Vec<(FlowKey, Flow)>, LoadError> {
    let flows: HashMap<&MapData, FlowKey, Flow> = map
        .try_into()
        .map_err(map_error("opening a table of flows"))?;
    // A flow that goes while the table is walked is none.
    Ok(flows.iter().filter_map(Result::ok).collect())
}
