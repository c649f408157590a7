//! The Internet checksum (RFC 1071), written here so that the builder does not share a bug with what it tests.

use std::net::IpAddr;

/// The checksum over several parts, each but the last of even length.
pub(super) fn internet(parts: &[&[u8]]) -> u16 {
    let mut sum: u64 = 0;
    for part in parts {
        for pair in part.chunks(2) {
            let low = pair.get(1).copied().unwrap_or(0);
            sum += u64::from(u16::from_be_bytes([pair[0], low]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// The checksum of a transport segment, pseudo-header included when it travels in IP.
pub(super) fn transport(network: Option<(IpAddr, IpAddr)>, protocol: u8, segment: &[u8]) -> u16 {
    let length = segment.len();
    match network {
        Some((IpAddr::V4(source), IpAddr::V4(destination))) => {
            let [high, low] = (length as u16).to_be_bytes();
            let tail = [0, protocol, high, low];
            internet(&[&source.octets(), &destination.octets(), &tail, segment])
        }
        Some((IpAddr::V6(source), IpAddr::V6(destination))) => {
            let length = (length as u32).to_be_bytes();
            let tail = [0, 0, 0, protocol];
            internet(&[
                &source.octets(),
                &destination.octets(),
                &length,
                &tail,
                segment,
            ])
        }
        // Nothing to add outside of IP; the builder never mixes families.
        _ => internet(&[segment]),
    }
}
