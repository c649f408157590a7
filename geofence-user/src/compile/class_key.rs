//! What makes two addresses equal for an image.

use geofence_common::image::class::Class;

use super::list_sets::ListSets;

/// The answer of an image about an address, before the policy decides about its country: its class, the group that
/// exceptions know it by, and the number of its list set. Addresses with equal keys share one class record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ClassKey {
    pub(super) class: Class,
    pub(super) group: u32,
    pub(super) lists: u32,
}

impl ClassKey {
    pub(super) fn new(class: Class, group: u32) -> Self {
        Self {
            class: if group == 0 {
                class
            } else {
                class.with_excepted_prefix()
            },
            group,
            lists: 0,
        }
    }

    /// The same key with this list set.
    pub(super) fn with_lists(self, set: u32, lists: &ListSets) -> Self {
        Self {
            class: lists.apply(self.class, set),
            lists: set,
            ..self
        }
    }
}
