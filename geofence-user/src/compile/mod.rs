//! A policy and GeoIP data to a policy image.
//!
//! Pure: no kernel, no clock, no files; the same input gives the same image to the byte. The rule is written three
//! times: `sources` lays the sources over each other and `trie` stores the result, `lpm_prefixes` gives the kernel's
//! LPM tries what they need without looking at either, and the tests keep an oracle that states the rule at its
//! plainest:
//!
//! - an address in special-use space has the class of the longest block that contains it, whatever the data says;
//! - any other address has the country of the longest prefix of the data that contains it, or none;
//! - an address on a list has the flag of the list as well.

mod class_key;
mod class_table;
mod compiler;
mod cover;
mod cross_check;
mod destination_policies;
mod error;
mod exceptions;
mod extents;
mod geo_override;
mod host_table;
mod image;
mod layer;
mod list_sets;
mod lpm_prefixes;
mod mechanisms;
mod parallel;
mod port_rules;
mod prefix;
mod ranges;
mod sources;
mod statistics;
mod target;
#[cfg(test)]
mod tests;
mod trie;
mod trie_cursor;

pub use compiler::{compile, compile_with};
pub use cover::prefixes;
pub use cross_check::{Disagreement, cross_check, decide};
pub use error::{CompileError, TooLarge};
pub use exceptions::ExceptionError;
pub use extents::{Extent, Extents};
pub use geo_override::apply_overrides;
pub use image::{Image, ImageError};
pub use layer::{Segment, side_by_side, spans};
pub use lpm_prefixes::{ClassifiedV4, ClassifiedV6, ForeignImage, LpmPrefixes};
pub use mechanisms::Mechanisms;
pub use prefix::Family;
pub use ranges::{BrokenImage, Ranges, destinations, ranges};
pub use statistics::{CountryStatistics, Statistics};
pub use target::{Boot, Target};
