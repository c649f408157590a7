//! Which prefixes are added to and removed from the lists of an image.

use geofence_common::image::class::Class;
use ipnet::IpNet;
use serde::Serialize;

use crate::compile::{BrokenImage, Family, prefixes, ranges, side_by_side};

/// A list that differs, in the fewest prefixes that cover its addresses. The configuration may have more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListChange {
    pub list: &'static str,
    pub added: Vec<IpNet>,
    pub removed: Vec<IpNet>,
}

/// A test for membership.
type IsMember = fn(Class) -> bool;

/// Each list by the key that fills it.
const LISTS: [(&str, IsMember); 3] = [
    ("management", Class::is_management),
    ("allow", Class::is_allowed),
    ("deny", Class::is_denied),
];

pub(super) fn changes(before: &[u32], after: &[u32]) -> Result<Vec<ListChange>, BrokenImage> {
    let mut changes = LISTS.map(|(list, _)| ListChange {
        list,
        added: Vec::new(),
        removed: Vec::new(),
    });
    for family in Family::ALL {
        let (before, after) = (ranges(before, family)?, ranges(after, family)?);
        for (change, (_, is_member)) in changes.iter_mut().zip(LISTS) {
            let layer = |ranges: &[(u128, Class)]| {
                let mut layer: Vec<_> = ranges
                    .iter()
                    .map(|(start, class)| (*start, is_member(*class)))
                    .collect();
                layer.dedup_by_key(|(_, member)| *member);
                layer
            };
            for segment in side_by_side(&layer(&before), &layer(&after)) {
                let list = match (segment.before, segment.after) {
                    (false, true) => &mut change.added,
                    (true, false) => &mut change.removed,
                    (true, true) | (false, false) => continue,
                };
                list.extend(prefixes(family, segment.start, segment.end));
            }
        }
    }
    let differs = |change: &ListChange| !change.added.is_empty() || !change.removed.is_empty();
    Ok(changes.into_iter().filter(differs).collect())
}
