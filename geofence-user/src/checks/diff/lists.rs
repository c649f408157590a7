//! Which prefixes are added to and removed from the lists of an image.

use geofence_common::action::Direction;
use geofence_common::image::class::Class;
use ipnet::IpNet;
use serde::Serialize;

use super::side::Compared;
use crate::compile::{prefixes, side_by_side};

/// A list that differs, in the fewest prefixes that cover its addresses. The configuration may have more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListChange {
    pub list: &'static str,
    pub added: Vec<IpNet>,
    pub removed: Vec<IpNet>,
}

/// A test for membership.
type IsMember = fn(Class) -> bool;

/// Each list by the key that fills it. `deny` has what any list blocks, and `lists` what any `[[list]]` names.
const LISTS: [(&str, IsMember); 4] = [
    ("management", Class::is_management),
    ("allow", Class::is_allowed),
    ("deny", Class::is_denied),
    ("lists", |class| {
        Direction::ALL.into_iter().any(|way| class.is_listed(way))
    }),
];

pub(super) fn changes(families: &Compared) -> Vec<ListChange> {
    let mut changes = LISTS.map(|(list, _)| ListChange {
        list,
        added: Vec::new(),
        removed: Vec::new(),
    });
    for (family, [before, after]) in families {
        for (change, (_, is_member)) in changes.iter_mut().zip(LISTS) {
            let layer = |ranges: &[(u128, Class)]| {
                let mut layer: Vec<_> = ranges
                    .iter()
                    .map(|(start, class)| (*start, is_member(*class)))
                    .collect();
                layer.dedup_by_key(|(_, member)| *member);
                layer
            };
            for segment in side_by_side(&layer(before), &layer(after)) {
                let list = match (segment.before, segment.after) {
                    (false, true) => &mut change.added,
                    (true, false) => &mut change.removed,
                    (true, true) | (false, false) => continue,
                };
                list.extend(prefixes(*family, segment.start, segment.end));
            }
        }
    }
    let differs = |change: &ListChange| !change.added.is_empty() || !change.removed.is_empty();
    changes.into_iter().filter(differs).collect()
}
