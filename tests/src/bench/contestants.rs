//! The policies that the rows on rules compare, and how their sources are drawn.

use crate::cases::Fate;
use crate::plan::Plan;
use crate::report::{Cell, Unit};
use crate::sample::Samples;
use crate::sets::Family;

/// How the sources are drawn: family, whether uniformly, and what that is called.
pub(crate) const DRAWN: [(Family, bool, &str); 3] = [
    (Family::V4, true, "IPv4 uniform"),
    (Family::V4, false, "IPv4 table prefix"),
    (Family::V6, false, "IPv6 table prefix"),
];
pub(crate) const FATES: [Fate; 3] = [Fate::PassUnblocked, Fate::DropTcp, Fate::DropUdp];

/// Those that differ from the bare policy in what a source's look-up finds.
pub(crate) const OF_SOURCES: [usize; 3] = [1, 2, 3];
/// Those that name sources; the third names all.
pub(crate) const NAMING: [usize; 3] = [1, 2, ALL];
/// The policy with everything.
pub(crate) const ALL: usize = 5;

/// Where the sets of those whom rules name start: on a list, excepted here, excepted elsewhere.
pub(crate) const NAMED: usize = 2 * DRAWN.len();

/// Addresses of a set: half as many as elsewhere, for the many contestants.
pub(crate) const fn size(plan: &Plan) -> usize {
    plan.set_size / 2
}

/// A row: the first in nanoseconds, the others as ratios to it.
pub(crate) fn against(samples: &[Samples]) -> Vec<Option<Cell>> {
    let Some((bare, others)) = samples.split_first() else {
        return Vec::new();
    };
    let ratios = others
        .iter()
        .map(|one| Cell::new(Unit::Times, one.over(bare)));
    std::iter::once(Cell::new(Unit::Nanoseconds, bare.clone()))
        .chain(ratios)
        .collect()
}
