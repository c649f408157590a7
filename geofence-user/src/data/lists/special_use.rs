//! Leaving special-use space out of a list that names it on purpose.
//!
//! Pure.

use super::read::Contents;
use crate::model::list::{Definition, SpecialUseEntries};
use crate::model::special_use::is_special_use;

/// Leaves out the entries in special-use space, and counts them, if the list is configured so.
pub(super) fn without_special_use(definition: &Definition, mut contents: Contents) -> Contents {
    if definition.special_use == SpecialUseEntries::Refuse {
        return contents;
    }
    let before = contents.entries.len();
    let entries = std::mem::take(&mut contents.entries);
    contents.entries = entries.retain_mut(|entry| !is_special_use(entry.net));
    let left_out = before - contents.entries.len();
    if left_out > 0 {
        *contents
            .skipped
            .entry("entries in special-use space")
            .or_default() += left_out;
    }
    contents
}
