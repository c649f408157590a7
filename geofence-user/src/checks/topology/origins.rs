//! Whether a packet that came in by a device may come from outside.
//!
//! Only packets from inside open flows. A packet that came in by a protected device comes from outside, and one that
//! came in by a device above may. The configuration says where our own machines are behind such a device.

use std::collections::BTreeSet;

use geofence_common::decide::Origin;

use super::stack::Stack;
use crate::model::interface::Interface;

/// The origin that each device stands for, given the indexes of the protected ones and of those behind which our own
/// machines are. Those that must not be missing come first.
#[must_use]
pub fn origins(
    present: &[Interface],
    protected: &BTreeSet<u32>,
    inner: &BTreeSet<u32>,
) -> Vec<(u32, Origin)> {
    let outer = protected - inner;
    let above = Stack(present).above(&outer);
    let mut origins: Vec<_> = present
        .iter()
        .map(|one| match one.index {
            index if inner.contains(&index) => (index, Origin::Inside),
            index if outer.contains(&index) => (index, Origin::Protected),
            index if above.contains(&index) => (index, Origin::Above),
            index => (index, Origin::Inside),
        })
        .collect();
    origins.sort_by_key(|(_, origin)| match origin {
        Origin::Protected => 0,
        Origin::Above => 1,
        Origin::Inside | Origin::Local | Origin::Unknown => 2,
    });
    origins
}
