//! Whether a packet that came in by a device may come from outside.
//!
//! Only packets from inside open flows. A packet that came in by a protected device comes from outside, and one that
//! came in by a device above may.

use std::collections::BTreeSet;

use geofence_common::decide::Origin;

use super::stack::Stack;
use crate::model::interface::Interface;

/// The origin that each device stands for, given the indexes of the protected ones. Those that must not be missing come
/// first.
#[must_use]
pub fn origins(present: &[Interface], protected: &BTreeSet<u32>) -> Vec<(u32, Origin)> {
    let above = Stack(present).above(protected);
    let mut origins: Vec<_> = present
        .iter()
        .map(|one| match one.index {
            index if protected.contains(&index) => (index, Origin::Protected),
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
