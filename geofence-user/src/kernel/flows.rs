//! Reads the flow tables, for `flows`, metrics and `explain`. Only the egress program writes them.

use aya::maps::{HashMap, Map, MapData, MapError, PerCpuArray};
use geofence_common::flow::rate_limit::RateLimitKey;
use geofence_common::flow::{Flow, FlowKey, Table};
use geofence_common::maps::{FlowCounters, name};

use super::error::KernelError;
use super::filter::Filter;

/// How full a flow table is, and what became of the packets that consulted it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableFacts {
    pub counters: FlowCounters,
    /// Packets that opened no flow because they may have come in by a protected interface.
    pub unattributed: u64,
    /// Packets that opened no flow because the policy passes no replies.
    pub unanswered: u64,
    /// Flows in the table, including expired ones that no other flow has displaced yet.
    pub entries: u64,
    pub capacity: u32,
}

impl TableFacts {
    /// Flows that were displaced by others: nothing else removes a flow.
    #[must_use]
    pub fn evictions(&self) -> u64 {
        self.counters.opened.saturating_sub(self.entries)
    }
}

impl Filter {
    /// Every flow of a table, including expired ones.
    pub fn flows(&self, table: Table) -> Result<Vec<(FlowKey, Flow)>, KernelError> {
        read_flows(self.map(name::FLOWS[table as usize])?)
    }

    /// One flow of a table, also if it has expired.
    pub fn flow(&self, table: Table, key: &FlowKey) -> Result<Option<Flow>, KernelError> {
        let flows: HashMap<_, FlowKey, Flow> = self.open(name::FLOWS[table as usize])?;
        found(flows.get(key, 0), "reading a flow")
    }

    /// The state of a source's rate limit.
    pub fn bucket(&self, key: &RateLimitKey) -> Result<Option<u64>, KernelError> {
        let buckets: HashMap<_, RateLimitKey, u64> = self.open(name::BUCKETS)?;
        found(buckets.get(key, 0), "reading a rate limit")
    }

    /// What became of the packets that consulted a table.
    pub fn flow_counters(&self, table: Table) -> Result<FlowCounters, KernelError> {
        let counters: PerCpuArray<_, FlowCounters> = self.open(name::FLOW_COUNTERS)?;
        let cpus = counters
            .get(&(table as u32), 0)
            .map_err(KernelError::map("reading FLOW_COUNTERS"))?;
        let mut sum = FlowCounters::default();
        for one in cpus.iter() {
            sum.opened += one.opened;
            sum.updated += one.updated;
            sum.forwarded += one.forwarded;
            sum.full += one.full;
        }
        Ok(sum)
    }

    /// Packets to blocked countries that go unanswered because the policy passes no replies.
    pub fn unanswered(&self, table: Table) -> Result<u64, KernelError> {
        self.sum(name::UNANSWERED, table)
    }

    /// Packets that opened no flow because they may have been forwarded from outside.
    pub fn unattributed(&self, table: Table) -> Result<u64, KernelError> {
        self.sum(name::UNATTRIBUTED, table)
    }

    /// A number of a table, over all CPUs.
    fn sum(&self, map: &'static str, table: Table) -> Result<u64, KernelError> {
        let counts: PerCpuArray<_, u64> = self.open(map)?;
        let cpus = counts
            .get(&(table as u32), 0)
            .map_err(KernelError::map("reading the counters of a flow table"))?;
        Ok(cpus.iter().sum())
    }

    /// The state of a table.
    pub fn table_facts(&self, table: Table) -> Result<TableFacts, KernelError> {
        let counters = self.flow_counters(table)?;
        let flows: HashMap<_, FlowKey, Flow> = self.open(name::FLOWS[table as usize])?;
        Ok(TableFacts {
            counters,
            unattributed: self.unattributed(table)?,
            unanswered: self.unanswered(table)?,
            entries: flows.keys().filter(Result::is_ok).count() as u64,
            capacity: self.options().flows[table as usize],
        })
    }
}

/// An entry of a map, if there is one.
fn found<T>(entry: Result<T, MapError>, doing: &'static str) -> Result<Option<T>, KernelError> {
    match entry {
        Ok(entry) => Ok(Some(entry)),
        Err(MapError::KeyNotFound) => Ok(None),
        Err(error) => Err(KernelError::map(doing)(error)),
    }
}

/// Every flow of a flow table.
pub(super) fn read_flows(map: &Map) -> Result<Vec<(FlowKey, Flow)>, KernelError> {
    let flows: HashMap<&MapData, FlowKey, Flow> = map
        .try_into()
        .map_err(KernelError::map("opening a flow table"))?;
    // An entry that is removed during the walk is left out.
    Ok(flows.iter().filter_map(Result::ok).collect())
}
