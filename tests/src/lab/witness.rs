//! A witness behind the filter: it sees every frame that passed, and counts those a step asks about.
//!
//! It reads the edge's outer interface, where a packet socket gets what the filter let through and nothing else. What
//! it did not see because it was slow it admits, so that a count of zero is worth something.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::network::{Network, OUTER};
use crate::frames::number;
use crate::packet_socket::PacketSocket;

/// How long no frame may come until those sent before are all seen.
const QUIET: Duration = Duration::from_millis(200);

/// Frames that passed while the witness was busy with others.
pub(super) const MISSED: &str = "missed by the witness";

/// What a frame says, as far as a step may ask; the transport's part only if the frame has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sighting {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) protocol: u8,
    /// It is part of a datagram.
    pub(super) fragment: bool,
    /// It is a part without the transport's header.
    pub(super) later: bool,
    /// Everything behind the network headers.
    pub(super) transport: Vec<u8>,
}

impl Sighting {
    /// Source and destination port, where there are any.
    pub(super) fn ports(&self) -> Option<(u16, u16)> {
        let has = !self.later && matches!(self.protocol, number::TCP | number::UDP);
        match (has, &self.transport[..]) {
            (true, [a, b, c, d, ..]) => {
                Some((u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d])))
            }
            (_, _) => None,
        }
    }

    /// Type and code of an ICMP message of either version.
    pub(super) fn icmp(&self) -> Option<(u8, u8)> {
        let has = !self.later && matches!(self.protocol, number::ICMP | number::ICMPV6);
        match (has, &self.transport[..]) {
            (true, [kind, code, ..]) => Some((*kind, *code)),
            (_, _) => None,
        }
    }

    /// Reads a frame; nothing if it is not IP.
    pub(super) fn read(frame: &[u8]) -> Option<Self> {
        let packet = frame.get(14..)?;
        match frame.get(12..14)? {
            [0x08, 0x00] => Self::read_v4(packet),
            [0x86, 0xdd] => Self::read_v6(packet),
            _ => None,
        }
    }

    fn read_v4(packet: &[u8]) -> Option<Self> {
        let header: &[u8; 20] = packet.first_chunk()?;
        let length = usize::from(header[0] & 0x0f) * 4;
        let field = u16::from_be_bytes([header[6], header[7]]);
        let address = |at: usize| -> Option<IpAddr> {
            let octets: [u8; 4] = header.get(at..at + 4)?.try_into().ok()?;
            Some(Ipv4Addr::from(octets).into())
        };
        Some(Self {
            source: address(12)?,
            destination: address(16)?,
            protocol: header[9],
            fragment: field & 0x3fff != 0,
            later: field & 0x1fff != 0,
            transport: packet.get(length..)?.to_vec(),
        })
    }

    fn read_v6(packet: &[u8]) -> Option<Self> {
        let header: &[u8; 40] = packet.first_chunk()?;
        let address = |at: usize| -> Option<IpAddr> {
            let octets: [u8; 16] = header.get(at..at + 16)?.try_into().ok()?;
            Some(Ipv6Addr::from(octets).into())
        };
        let mut sighting = Self {
            source: address(8)?,
            destination: address(24)?,
            protocol: header[6],
            fragment: false,
            later: false,
            transport: Vec::new(),
        };
        let mut rest = &packet[40..];
        while let [next, length, high, low, ..] = rest {
            let whole = match sighting.protocol {
                number::FRAGMENT if !sighting.later => {
                    sighting.fragment = true;
                    sighting.later = u16::from_be_bytes([*high, *low]) >> 3 != 0;
                    8
                }
                number::HOP_BY_HOP | number::DESTINATION_OPTIONS | number::ROUTING
                    if !sighting.later =>
                {
                    8 + usize::from(*length) * 8
                }
                _ => break,
            };
            sighting.protocol = *next;
            rest = rest.get(whole..).unwrap_or_default();
        }
        sighting.transport = rest.to_vec();
        Some(sighting)
    }
}

/// How often each of the things asked about was seen.
pub(super) type Counts = BTreeMap<&'static str, u64>;

/// A witness at work.
#[derive(Debug)]
pub(super) struct Witness {
    stop: Arc<AtomicBool>,
    reader: JoinHandle<Result<Counts>>,
}

impl Witness {
    /// Starts counting; `notice` says what a frame counts as, several things at once if need be.
    pub(super) fn call(
        network: &Network,
        mut notice: impl FnMut(&Sighting, &mut dyn FnMut(&'static str)) + Send + 'static,
    ) -> Result<Self> {
        let socket = PacketSocket::open(&network.edge, OUTER)?;
        let stop = Arc::new(AtomicBool::new(false));
        let reader = thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                let mut counts = Counts::new();
                loop {
                    let asked = stop.load(Ordering::Relaxed);
                    match socket.receive(QUIET)? {
                        Some(frame) => {
                            if let Some(sighting) = Sighting::read(&frame) {
                                notice(&sighting, &mut |what| {
                                    *counts.entry(what).or_default() += 1
                                });
                            }
                        }
                        None if asked => break,
                        None => {}
                    }
                }
                let missed = socket.missed()?;
                if missed > 0 {
                    counts.insert(MISSED, missed.into());
                }
                Ok(counts)
            }
        });
        Ok(Self { stop, reader })
    }

    /// Hears the witness once nothing more comes.
    pub(super) fn dismiss(self) -> Result<Counts> {
        self.stop.store(true, Ordering::Relaxed);
        self.reader
            .join()
            .unwrap_or_else(|payload| std::panic::resume_unwind(payload))
            .context("watching behind the filter")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::Frame;

    #[test]
    fn sighting_reads_through_options_and_extension_headers() {
        let (a, b) = ([192, 0, 2, 1], [192, 0, 2, 2]);
        let v4 = Frame::ethernet().ipv4(a, b).options(&[1; 8]).tcp(7, 25);
        let sighting = Sighting::read(&v4.build()).unwrap();
        assert_eq!(sighting.ports(), Some((7, 25)));
        let address = Ipv6Addr::LOCALHOST;
        let v6 = Frame::ethernet()
            .ipv6(address, address)
            .destination_options(&[])
            .fragment(0, true, 7)
            .udp(53, 9)
            .payload([0; 8]);
        let sighting = Sighting::read(&v6.build()).unwrap();
        assert_eq!(sighting.ports(), Some((53, 9)));
        assert!(sighting.fragment && !sighting.later);
        let later = Frame::ethernet().ipv4(a, b).fragment_field(5).udp(53, 9);
        let sighting = Sighting::read(&later.build()).unwrap();
        assert!(sighting.later && sighting.ports().is_none());
    }
}
