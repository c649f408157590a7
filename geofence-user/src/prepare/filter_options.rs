//! The sizes of the kernel's maps for an image and the images that replace it.

use geofence_common::image::Line;
use geofence_common::image::destination::TENANTS_MAX;
use geofence_common::maps::IMAGE_MIB_MAX;

use crate::compile::Image;
use crate::config::Config;
use crate::model::filter_options::FilterOptions;
use crate::model::policy::Replies;

/// The capacity for images when the configuration does not set it: twice the first image, and at least this.
const CAPACITY_MIN_BYTES: u64 = 16 << 20;
/// The largest capacity.
pub(super) const CAPACITY_MAX_BYTES: u64 = (IMAGE_MIB_MAX as u64) << 20;
/// Sources whose rate is known at once. A source that is evicted starts with a full allowance.
const BUCKETS: u32 = 65_536;
const LINE_BYTES: u64 = size_of::<Line>() as u64;

/// Twice the count, and at least `least`.
fn room(count: usize, least: u32) -> u32 {
    u32::try_from(2 * count).unwrap_or(u32::MAX).max(least)
}

/// The sizes of the kernel's maps for this image and those that replace it.
#[must_use]
pub fn filter_options(config: &Config, image: &Image, traced: bool) -> FilterOptions {
    let automatic = (2 * image.size() as u64).clamp(CAPACITY_MIN_BYTES, CAPACITY_MAX_BYTES);
    let [v4, v6] = image.prefixes();
    let policy = &config.policy;
    let others = policy.lists.iter().map(|list| list.entries().len());
    let lists =
        policy.management.len() + policy.allow.len() + policy.deny.len() + others.sum::<usize>();
    let excepted = policy
        .exceptions
        .iter()
        .map(|exception| exception.from.len());
    let systems = policy
        .autonomous_systems
        .iter()
        .map(|system| system.prefixes.len());
    let lists = lists + excepted.sum::<usize>() + systems.sum::<usize>();
    // Overlays and special-use blocks split prefixes of the data; as many again is room for the next database.
    let entries = 2 * u64::from(v4.max(v6)) + 64 * lists as u64 + 65_536;
    FilterOptions {
        lookup: policy.lookup,
        image_lines: lines(config.image_capacity.unwrap_or(automatic)),
        trie_entries: u32::try_from(entries).unwrap_or(u32::MAX),
        flows: [
            config.flows.mail,
            config.flows.dns,
            if policy.replies == Replies::All {
                config.flows.other
            } else {
                1
            },
        ],
        tenants: room(policy.tenants.len(), 16).min(TENANTS_MAX) + 1,
        exceptions: room(policy.exceptions.len() + policy.protections.len(), 1024),
        buckets: if policy.rate_limit.is_some() {
            BUCKETS
        } else {
            1
        },
        interfaces: u32::try_from(config.interfaces.len()).unwrap_or(u32::MAX),
        traced,
    }
}

/// The lines that fit into so many bytes.
pub(super) fn lines(bytes: u64) -> u32 {
    u32::try_from(bytes / LINE_BYTES).unwrap_or(u32::MAX)
}
