//! An endless stream of frames, the same for the same seed: the corpus, damaged in ways that keep it interesting.
//!
//! Random bytes alone are refused at the first header and test nothing. Here most frames are nearly right: a known
//! frame with a few edits aimed at headers. Frames are at least 14 bytes, which is what the kernel's test run takes,
//! nearly always at most 1,514 and never above 3,000.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use rand::rngs::SmallRng;
use rand::{Rng as _, RngCore as _, SeedableRng as _};

use crate::corpus::{Named, corpus};
use crate::frames::number;

/// The shortest frame: an Ethernet header.
pub const LENGTH_MIN: usize = 14;
/// The length that frames exceed only now and then: an Ethernet header and an MTU of 1500.
pub const LENGTH_USUAL: usize = 1514;
/// The longest frame.
pub const LENGTH_MAX: usize = 3000;

/// How many frames are drawn from one source before the next is chosen; building a corpus costs as much as drawing.
const DRAWS_PER_SOURCE: u32 = 64;
/// The default destination: the first link's edge.
const DESTINATIONS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];

/// The generator: an iterator that never ends.
#[derive(Clone, Debug)]
pub struct Generator {
    random: SmallRng,
    sources: Vec<IpAddr>,
    hand: Vec<Named>,
    draws_left: u32,
}

impl Generator {
    /// Starts the stream of this seed; frames come from these sources, or from documentation's when there are none.
    #[must_use]
    pub fn new(seed: u64, mut sources: Vec<IpAddr>) -> Self {
        if sources.is_empty() {
            sources = vec![
                Ipv4Addr::new(203, 0, 113, 7).into(),
                Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 7).into(),
            ];
        }
        Self {
            random: SmallRng::seed_from_u64(seed),
            sources,
            hand: Vec::new(),
            draws_left: 0,
        }
    }

    /// The next frame and the name of the corpus frame that it was made from.
    pub fn draw(&mut self) -> Named {
        if self.draws_left == 0 {
            let source = self.sources[self.random.random_range(0..self.sources.len())];
            let [v4, v6] = DESTINATIONS;
            self.hand = corpus(source, if source.is_ipv4() { v4 } else { v6 });
            self.draws_left = DRAWS_PER_SOURCE;
        }
        self.draws_left -= 1;
        let (name, mut frame) = self.hand[self.random.random_range(0..self.hand.len())].clone();
        // A quarter stays whole, so that known shapes meet every source.
        for _ in 0..self.random.random_range(0..4) {
            self.edit(&mut frame);
        }
        frame.truncate(LENGTH_MAX);
        (name, frame)
    }

    fn edit(&mut self, frame: &mut Vec<u8>) {
        match self.random.random_range(0..12) {
            0 | 1 => self.flip_bytes(frame),
            2 => self.flip_bit(frame),
            3 => self.cut(frame),
            4 => self.extend(frame),
            5 => self.lie_about_length(frame),
            6 => self.insert_tag(frame),
            7 | 8 => self.swap_next_header(frame),
            9 => self.insert_options(frame),
            10 => self.swap_ethertype(frame),
            _ => self.fragment(frame),
        }
    }

    fn flip_bytes(&mut self, frame: &mut [u8]) {
        for _ in 0..self.random.random_range(1..4) {
            let at = self.header_position(frame);
            frame[at] = self.random.random();
        }
    }

    fn flip_bit(&mut self, frame: &mut [u8]) {
        let at = self.header_position(frame);
        frame[at] ^= 1 << self.random.random_range(0..8);
    }

    fn cut(&mut self, frame: &mut Vec<u8>) {
        let length = self.random.random_range(LENGTH_MIN..=frame.len());
        frame.truncate(length);
    }

    fn extend(&mut self, frame: &mut Vec<u8>) {
        let limit = if self.random.random_ratio(1, 50) {
            LENGTH_MAX
        } else {
            LENGTH_USUAL
        };
        // Short tails are padding and often matter; long ones only need to happen.
        let wanted = frame.len() + self.random.random_range(1..64);
        let longest = limit.max(frame.len());
        let length = match self.random.random_ratio(1, 8) {
            true => self.random.random_range(frame.len()..=longest),
            false => wanted.min(longest),
        };
        let from = frame.len();
        frame.resize(length, 0);
        self.random.fill_bytes(&mut frame[from..]);
    }

    fn lie_about_length(&mut self, frame: &mut [u8]) {
        let network = network(frame);
        let said = match self.random.random_range(0..4) {
            0 => self.random.random_range(0..64),
            1 => self.random.random(),
            2 => frame.len().saturating_sub(network.start) as u16,
            _ => [0, 19, 20, 28, 40, 0xffff][self.random.random_range(0..6)],
        };
        let at = network.start + if version(frame) == Some(6) { 4 } else { 2 };
        // Half of the lies are about the header's own length, where IPv4 has one.
        if version(frame) == Some(4) && self.random.random() {
            frame[network.start] = 0x40 | self.random.random_range(0..16);
        } else if let Some(field) = frame.get_mut(at..at + 2) {
            field.copy_from_slice(&said.to_be_bytes());
        }
    }

    fn insert_tag(&mut self, frame: &mut Vec<u8>) {
        let protocol: u16 = [0x8100, 0x8100, 0x88a8, 0x9100][self.random.random_range(0..4)];
        let control: u16 = self.random.random();
        frame.splice(
            12..12,
            [protocol.to_be_bytes(), control.to_be_bytes()].concat(),
        );
    }

    fn swap_next_header(&mut self, frame: &mut [u8]) {
        const NUMBERS: [u8; 20] = [
            number::HOP_BY_HOP,
            number::ICMP,
            number::IGMP,
            number::IPIP,
            number::TCP,
            number::UDP,
            number::IPV6,
            number::ROUTING,
            number::FRAGMENT,
            number::GRE,
            number::ESP,
            number::AUTHENTICATION,
            number::ICMPV6,
            number::NO_NEXT_HEADER,
            number::DESTINATION_OPTIONS,
            number::SCTP,
            number::MOBILITY,
            number::HIP,
            number::SHIM6,
            number::EXPERIMENTAL,
        ];
        let network = network(frame);
        let at = match version(frame) {
            Some(4) => network.start + 9,
            // The fixed header's, or one where an extension header may start.
            Some(6) if self.random.random() => network.start + 6,
            _ => network.end + 8 * self.random.random_range(0..4),
        };
        let next = NUMBERS[self.random.random_range(0..NUMBERS.len())];
        if let Some(field) = frame.get_mut(at) {
            *field = next;
        }
    }

    /// Pushes IPv4 options, or an IPv6 extension header that keeps the chain whole, in front of what IP carries.
    fn insert_options(&mut self, frame: &mut Vec<u8>) {
        let network = network(frame);
        if frame.len() < network.end {
            return;
        }
        match version(frame) {
            Some(4) => {
                let words = self.random.random_range(1..=10_u8);
                let mut options = vec![1; usize::from(words) * 4];
                if self.random.random() {
                    self.random.fill_bytes(&mut options);
                }
                frame.splice(network.end..network.end, options);
                let first = &mut frame[network.start];
                *first = (*first & 0xf0) | (*first & 0x0f).saturating_add(words).min(15);
            }
            Some(6) => {
                const HEADERS: [u8; 7] = [
                    number::HOP_BY_HOP,
                    number::ROUTING,
                    number::FRAGMENT,
                    number::DESTINATION_OPTIONS,
                    number::MOBILITY,
                    number::HIP,
                    number::AUTHENTICATION,
                ];
                let kind = HEADERS[self.random.random_range(0..HEADERS.len())];
                let follows = std::mem::replace(&mut frame[network.start + 6], kind);
                let mut header = [follows, 0, 1, 4, 0, 0, 0, 0];
                if kind == number::FRAGMENT {
                    header[2..].fill(0);
                    header[3] = self.random.random_range(0..2);
                }
                frame.splice(network.end..network.end, header);
            }
            _ => {}
        }
    }

    fn swap_ethertype(&mut self, frame: &mut [u8]) {
        const ETHERTYPES: [u16; 8] = [
            0x0800, 0x86dd, 0x8100, 0x88a8, 0x9100, 0x0806, 0x8847, 0x0040,
        ];
        let at = network(frame).start - 2;
        let ethertype = ETHERTYPES[self.random.random_range(0..ETHERTYPES.len())];
        frame[at..at + 2].copy_from_slice(&ethertype.to_be_bytes());
    }

    /// Makes an IPv4 packet a fragment, often at an offset that an attacker would choose.
    fn fragment(&mut self, frame: &mut [u8]) {
        let at = network(frame).start + 6;
        let field: u16 = match self.random.random_range(0..4) {
            0 => 0x2000,
            1 => 0x0001,
            2 => 0x4000,
            _ => self.random.random(),
        };
        if version(frame) == Some(4)
            && let Some(bytes) = frame.get_mut(at..at + 2)
        {
            bytes.copy_from_slice(&field.to_be_bytes());
        }
    }

    /// A position within the headers more often than behind them.
    fn header_position(&mut self, frame: &[u8]) -> usize {
        let end = if self.random.random_ratio(7, 8) {
            frame.len().min(100)
        } else {
            frame.len()
        };
        // MAC addresses decide nothing; spare them most of the time.
        let start = if self.random.random_ratio(15, 16) {
            12
        } else {
            0
        };
        self.random.random_range(start..end)
    }
}

impl Iterator for Generator {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        Some(self.draw().1)
    }
}

/// Where the IP header would be behind any VLAN tags, options and extension headers not counted.
///
/// The start is never before 14, so the ethertype in front of it always exists; it may be past the frame's end.
fn network(frame: &[u8]) -> Range<usize> {
    let mut start = 14;
    while let Some([0x81, 0x00] | [0x88, 0xa8] | [0x91, 0x00]) = frame.get(start - 2..start)
        && frame.len() >= start + 4
    {
        start += 4;
    }
    let fixed = if version_at(frame, start) == Some(6) {
        40
    } else {
        20
    };
    start..start + fixed
}

fn version(frame: &[u8]) -> Option<u8> {
    version_at(frame, network(frame).start)
}

fn version_at(frame: &[u8], start: usize) -> Option<u8> {
    frame.get(start).map(|byte| byte >> 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generator_repeats_for_a_seed_and_differs_between_seeds() {
        let stream = |seed| {
            Generator::new(seed, Vec::new())
                .take(5_000)
                .collect::<Vec<_>>()
        };
        assert_eq!(stream(1), stream(1));
        assert_ne!(stream(1), stream(2));
    }

    #[test]
    fn generated_lengths_stay_within_bounds() {
        let lengths: Vec<usize> = Generator::new(3, Vec::new())
            .take(50_000)
            .map(|frame| frame.len())
            .collect();
        assert!(
            lengths
                .iter()
                .all(|length| (LENGTH_MIN..=LENGTH_MAX).contains(length))
        );
        let long = lengths
            .iter()
            .filter(|length| **length > LENGTH_USUAL)
            .count();
        assert!(
            (1..lengths.len() / 100).contains(&long),
            "{long} frames above {LENGTH_USUAL} bytes"
        );
    }

    #[test]
    fn generator_uses_its_sources_and_keeps_many_frames_whole() {
        let source: IpAddr = [198, 51, 100, 77].into();
        let whole = corpus(source, DESTINATIONS[0]);
        let mut generator = Generator::new(4, vec![source]);
        let untouched = (0..10_000)
            .filter(|_| whole.contains(&generator.draw()))
            .count();
        assert!(
            (2_000..5_000).contains(&untouched),
            "{untouched} of 10000 are untouched"
        );
    }
}
