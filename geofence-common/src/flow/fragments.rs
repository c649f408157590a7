//! Fragmented datagrams: the first fragment decides, and later fragments pass behind it.

use crate::address::Address;

/// The key of a fragmented datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct DatagramKey {
    pub source: [u64; 2],
    pub destination: [u64; 2],
    pub identification: u32,
    pub protocol: u8,
    /// 1 for IPv6, 0 for IPv4.
    pub is_v6: u8,
    pub padding: [u8; 2],
}

impl DatagramKey {
    #[must_use]
    #[inline(always)]
    pub fn new(source: &Address, destination: &Address, identification: u32, protocol: u8) -> Self {
        Self {
            source: source.words(),
            destination: destination.words(),
            identification,
            protocol,
            is_v6: source.is_v6() as u8,
            padding: [0; 2],
        }
    }
}

/// A datagram whose first fragment was accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Datagram {
    /// When later fragments stop passing.
    pub deadline: u64,
    /// Bytes of the datagram in the first fragment. Later fragments start behind them.
    pub first: u32,
    pub padding: u32,
}
