//! The link type of a device, as the kernel numbers it. `framing` says what each means for the filter.

use serde::Serialize;

/// The link type of a device: an ARPHRD number of `include/uapi/linux/if_arp.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct LinkType(pub u16);

impl LinkType {
    pub const ETHERNET: Self = Self(1);
    pub const PPP: Self = Self(512);
    pub const LOOPBACK: Self = Self(772);
    pub const GRE: Self = Self(778);
    pub const GRE6: Self = Self(823);
    /// Without a link header: tun, WireGuard and many others.
    pub const NONE: Self = Self(65534);
}

impl Default for LinkType {
    fn default() -> Self {
        Self::ETHERNET
    }
}
