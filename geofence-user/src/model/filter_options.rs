//! What the sizes and the shape of the kernel's maps depend on.

use geofence_common::flow::Table;

use crate::model::policy::Lookup;

/// The sizes of a filter's maps, and which program variant is loaded.
#[derive(Clone, Copy, Debug)]
pub struct FilterOptions {
    pub lookup: Lookup,
    /// Lines of each of the two images.
    pub image_lines: u32,
    /// Entries of each LPM trie, if `lookup` uses them.
    pub trie_entries: u32,
    /// Entries of each flow table, by `Table`.
    pub flows: [u32; Table::ALL.len()],
    /// Tenants that can be counted, plus one for packets of no tenant.
    pub tenants: u32,
    /// Exceptions that can be counted.
    pub exceptions: u32,
    /// Sources whose rate is limited at the same time.
    pub buckets: u32,
    /// Interfaces with counters of their own.
    pub interfaces: u32,
    /// Whether the program records each verdict with its reason, for `explain` and tests.
    pub traced: bool,
}
