//! Special-use space as prefixes.

use geofence_common::address::{SPECIAL_USE_V4, SPECIAL_USE_V6, SpecialUse};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The blocks. Space that embeds IPv4 addresses is not among them.
pub fn special_use() -> impl Iterator<Item = IpNet> {
    let v4 = SPECIAL_USE_V4
        .iter()
        .filter_map(|(base, length)| Ipv4Net::new((*base).into(), *length).ok().map(IpNet::V4));
    let v6 = SPECIAL_USE_V6
        .iter()
        .filter_map(|(base, length, kind)| match kind {
            SpecialUse::Local | SpecialUse::Mapped => {
                Ipv6Net::new((*base).into(), *length).ok().map(IpNet::V6)
            }
            SpecialUse::Embedded(_) => None,
        });
    v4.chain(v6)
}

/// Whether every address of the prefix is special-use; 224.0.0.0/3 is, although it spans two blocks.
#[must_use]
pub fn is_special_use(net: IpNet) -> bool {
    if special_use().any(|block| block.contains(&net)) {
        return true;
    }
    let has_block_inside = special_use().any(|block| net.contains(&block));
    let halves = net.subnets(net.prefix_len().saturating_add(1)).ok();
    has_block_inside && halves.is_some_and(|mut halves| halves.all(is_special_use))
}
