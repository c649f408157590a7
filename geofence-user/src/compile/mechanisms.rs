//! The mechanisms of an image that make look-ups cheap. Each can be left out, to measure what it buys: the reader finds
//! the same classes without it.

/// Which mechanisms the compiler uses; all of them unless the benchmark asks otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is on or off by itself, and a set of four has no better shape"
)]
pub struct Mechanisms {
    /// Nodes wider than the narrowest.
    pub strides: bool,
    /// Blocks with a few deep changes in one line.
    pub range_leaves: bool,
    /// Single addresses in a hash table.
    pub host_table: bool,
    /// Leaves that say which addresses cannot be in the host table.
    pub leaf_filter: bool,
}

impl Mechanisms {
    pub const ALL: Self = Self {
        strides: true,
        range_leaves: true,
        host_table: true,
        leaf_filter: true,
    };
}
