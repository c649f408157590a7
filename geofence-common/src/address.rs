//! Addresses and special-use prefixes: a family and bits, never a kernel or libc type.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An IP address: its bits in host order, left-aligned in two words, as a look-up consumes them.
///
/// Words rather than bytes, because the data path keeps addresses in registers and on a stack of 512 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    is_v6: bool,
    high: u64,
    low: u64,
}

impl Address {
    #[must_use]
    #[inline(always)]
    pub const fn v4(bits: u32) -> Self {
        Self {
            is_v6: false,
            high: (bits as u64) << 32,
            low: 0,
        }
    }

    #[must_use]
    #[inline(always)]
    pub const fn v6(bits: u128) -> Self {
        Self {
            is_v6: true,
            high: (bits >> 64) as u64,
            low: bits as u64,
        }
    }

    /// The address with these words; the inverse of `words`.
    #[must_use]
    #[inline(always)]
    pub const fn from_words(is_v6: bool, [high, low]: [u64; 2]) -> Self {
        Self { is_v6, high, low }
    }

    /// The bits, left-aligned. An IPv4 address fills the upper half of the first word.
    #[must_use]
    #[inline(always)]
    pub const fn words(&self) -> [u64; 2] {
        [self.high, self.low]
    }

    #[must_use]
    #[inline(always)]
    pub const fn is_v6(&self) -> bool {
        self.is_v6
    }

    /// The address as the standard library's type.
    #[must_use]
    #[inline(always)]
    pub const fn ip(&self) -> IpAddr {
        if self.is_v6 {
            IpAddr::V6(Ipv6Addr::from_bits(
                (self.high as u128) << 64 | self.low as u128,
            ))
        } else {
            IpAddr::V4(Ipv4Addr::from_bits((self.high >> 32) as u32))
        }
    }

    /// Whether the address is an IPv6 link-local one (fe80::/10) or the unspecified address (::).
    #[must_use]
    #[inline(always)]
    pub const fn is_on_link_v6(&self) -> bool {
        self.is_v6 && (self.high >> 54 == 0xfe80 >> 6 || self.high | self.low == 0)
    }
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::v4(ip.to_bits()),
            IpAddr::V6(ip) => Self::v6(ip.to_bits()),
        }
    }
}

/// The kind of a special-use block (RFC 6890 and its registry), as far as decisions differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecialUse {
    /// Belongs to no country: private, shared, loopback, link-local, multicast, documentation and the like.
    Local,
    /// An IPv4-mapped (::ffff:0:0/96) or IPv4-compatible (::/96, deprecated) address, which may not appear on a wire.
    Mapped,
    /// An IPv6 address that embeds an IPv4 address, whose country applies.
    Embedded(Embedding),
}

/// Where an IPv6 address embeds an IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Embedding {
    /// 2002::/16, bytes 2 to 5 (RFC 3056).
    SixToFour,
    /// 2001::/32, the last four bytes inverted: the client's address (RFC 4380).
    Teredo,
    /// 64:ff9b::/96, 64:ff9b:1::/48 and the operator's translation prefixes: the last four bytes, or those of a prefix
    /// of 48 bits if these are zero (RFC 6052 section 2.2).
    Nat64,
}

impl Embedding {
    /// The IPv4 address inside an IPv6 address.
    #[must_use]
    #[inline(always)]
    pub const fn inner(self, address: &Address) -> Address {
        Address::v4(match self {
            Self::SixToFour => (address.high >> 16) as u32,
            Self::Teredo => !(address.low as u32),
            Self::Nat64 => match address.low as u32 {
                // Two bytes before the reserved byte, two behind it.
                0 => (address.high as u32) << 16 | (address.low >> 40) as u32 & 0xffff,
                bits => bits,
            },
        })
    }
}

/// IPv4 special-use blocks: base address, prefix length. They have no country, whatever a database says.
pub const SPECIAL_USE_V4: &[([u8; 4], u8)] = &[
    ([0, 0, 0, 0], 8),       // this network, RFC 791
    ([10, 0, 0, 0], 8),      // private, RFC 1918
    ([100, 64, 0, 0], 10),   // shared by carrier-grade NAT, RFC 6598
    ([127, 0, 0, 0], 8),     // loopback, RFC 1122
    ([169, 254, 0, 0], 16),  // link-local, RFC 3927
    ([172, 16, 0, 0], 12),   // private, RFC 1918
    ([192, 0, 0, 0], 24),    // protocol assignments, RFC 6890
    ([192, 0, 2, 0], 24),    // documentation, RFC 5737
    ([192, 168, 0, 0], 16),  // private, RFC 1918
    ([198, 18, 0, 0], 15),   // benchmarking, RFC 2544
    ([198, 51, 100, 0], 24), // documentation, RFC 5737
    ([203, 0, 113, 0], 24),  // documentation, RFC 5737
    ([224, 0, 0, 0], 4),     // multicast, RFC 5771
    ([240, 0, 0, 0], 4),     // reserved and broadcast, RFC 1112
];

/// IPv6 special-use blocks; a longer block inside a shorter one wins.
pub const SPECIAL_USE_V6: &[(u128, u8, SpecialUse)] = &[
    (0, 96, SpecialUse::Mapped), // IPv4-compatible, RFC 4291 section 2.5.5.1
    (0, 127, SpecialUse::Local), // unspecified and loopback, RFC 4291
    (0xffff << 32, 96, SpecialUse::Mapped), // IPv4-mapped, RFC 4291 section 2.5.5.2
    (
        0x0064_ff9b << 96,
        96,
        SpecialUse::Embedded(Embedding::Nat64),
    ), // RFC 6052
    (
        0x0064_ff9b_0001 << 80,
        48,
        SpecialUse::Embedded(Embedding::Nat64),
    ), // local-use translation, RFC 8215
    (0x0100 << 112, 64, SpecialUse::Local), // discard-only, RFC 6666
    (0x2001 << 112, 32, SpecialUse::Embedded(Embedding::Teredo)), // RFC 4380
    (0x2001_0002 << 96, 48, SpecialUse::Local), // benchmarking, RFC 5180
    (0x2001_0010 << 96, 28, SpecialUse::Local), // ORCHID, RFC 4843
    (0x2001_0020 << 96, 28, SpecialUse::Local), // ORCHIDv2, RFC 7343
    (0x2001_0db8 << 96, 32, SpecialUse::Local), // documentation, RFC 3849
    (
        0x2002 << 112,
        16,
        SpecialUse::Embedded(Embedding::SixToFour),
    ), // RFC 3056
    (0x3fff << 112, 20, SpecialUse::Local), // documentation, RFC 9637
    (0x5f00 << 112, 16, SpecialUse::Local), // segment routing SIDs, RFC 9602
    (0xfc00 << 112, 7, SpecialUse::Local), // unique local, RFC 4193
    (0xfe80 << 112, 10, SpecialUse::Local), // link-local, RFC 4291
    (0xfec0 << 112, 10, SpecialUse::Local), // site-local, deprecated by RFC 3879
    (0xff00 << 112, 8, SpecialUse::Local), // multicast, RFC 4291
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_address_is_extracted() {
        let inner = |how: Embedding, text: &str| {
            how.inner(&Address::from(text.parse::<IpAddr>().unwrap()))
                .ip()
        };
        let expected = IpAddr::from([81, 2, 3, 4]);
        assert_eq!(inner(Embedding::SixToFour, "2002:5102:0304::1"), expected);
        assert_eq!(inner(Embedding::Teredo, "2001::aefd:fcfb"), expected);
        assert_eq!(inner(Embedding::Nat64, "64:ff9b::81.2.3.4"), expected);
        assert_eq!(inner(Embedding::Nat64, "64:ff9b:1:7::81.2.3.4"), expected);
        assert_eq!(inner(Embedding::Nat64, "64:ff9b:1:5102:3:400::"), expected);
    }

    #[test]
    fn special_use_blocks_have_no_host_bits() {
        for (base, length) in SPECIAL_USE_V4 {
            assert_eq!(
                u32::from_be_bytes(*base)
                    .checked_shl(u32::from(*length))
                    .unwrap_or(0),
                0,
                "{base:?}"
            );
        }
        for (base, length, _) in SPECIAL_USE_V6 {
            assert_eq!(
                base.checked_shl(u32::from(*length)).unwrap_or(0),
                0,
                "{base:x}"
            );
        }
    }

    #[test]
    fn on_link_address_is_link_local_or_unspecified() {
        let on_link = |text: &str| Address::from(text.parse::<IpAddr>().unwrap()).is_on_link_v6();
        assert!(on_link("fe80::1") && on_link("febf::1") && on_link("::"));
        assert!(!on_link("0.0.0.0") && !on_link("254.128.0.1"));
        assert!(!on_link("fec0::1") && !on_link("::1") && !on_link("2001:db8::1"));
    }

    #[test]
    fn address_survives_a_round_trip() {
        for text in [
            "192.0.2.1",
            "0.0.0.0",
            "2001:db8::1",
            "::",
            "::ffff:192.0.2.1",
        ] {
            let ip: IpAddr = text.parse().unwrap();
            let address = Address::from(ip);
            assert_eq!(address.ip(), ip);
            assert_eq!(
                Address::from_words(address.is_v6(), address.words()),
                address
            );
        }
    }
}
