//! Reads the frames of a capture file, pcap or pcapng, as Ethernet frames.
//!
//! Frames of other link types get an Ethernet header for the IP packet that they hold. A frame that cannot be judged is
//! handed on as such, and the next one is read.

use std::io::{Cursor, Read};

use anyhow::{Context as _, bail};
use pcap_file::DataLink;
use pcap_file::pcap::PcapReader;
use pcap_file::pcapng::{Block, PcapNgReader};

/// The first four bytes of a pcapng file: the type of a section header block.
const PCAPNG: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
/// No device carries longer frames, segments that the card joins included.
const FRAME_BYTES_MAX: usize = 256 << 10;

/// A frame of a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// An Ethernet frame.
    frame: Vec<u8>,
    /// How many bytes at the end of the frame were not captured.
    missing: usize,
}

impl Captured {
    /// Reads what was captured of a frame that had this length.
    ///
    /// # Errors
    /// Why it cannot be judged.
    fn new(link: Option<DataLink>, data: &[u8], length: u32) -> Result<Self, String> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > FRAME_BYTES_MAX {
            return Err(format!(
                "a frame of {length} bytes, which no device carries"
            ));
        }
        Ok(Self {
            frame: ethernet(link, data)?,
            missing: length.saturating_sub(data.len()),
        })
    }

    /// Whether the end of the frame was not captured.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.missing > 0
    }

    /// The frame in its length, with this byte in place of each that was not captured.
    #[must_use]
    pub fn filled(&self, byte: u8) -> Vec<u8> {
        let mut frame = self.frame.clone();
        frame.resize(frame.len() + self.missing, byte);
        frame
    }
}

/// The Ethernet frame of a captured frame.
fn ethernet(link: Option<DataLink>, data: &[u8]) -> Result<Vec<u8>, String> {
    let cut = || format!("only {} bytes were captured", data.len());
    let part = |from: usize| data.get(from..).ok_or_else(cut);
    let (ethertype, payload) = match link {
        Some(DataLink::ETHERNET) => return Ok(data.to_vec()),
        // Packet type, address type, address length, address of 8 bytes, protocol.
        Some(DataLink::LINUX_SLL) => (protocol(data, 14).ok_or_else(cut)?, part(16)?),
        // The protocol comes first; the header has 20 bytes.
        Some(DataLink::LINUX_SLL2) => (protocol(data, 0).ok_or_else(cut)?, part(20)?),
        // The family of the address, in the byte order of the machine that captured.
        Some(DataLink::NULL | DataLink::LOOP) => (version(part(4)?)?, part(4)?),
        Some(DataLink::RAW | DataLink::IPV4 | DataLink::IPV6) => (version(data)?, data),
        Some(other) => return Err(format!("the link type {other:?} is not read")),
        None => return Err("the capture does not describe its interface".to_owned()),
    };
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    frame.extend(ethertype);
    frame.extend(payload);
    Ok(frame)
}

fn protocol(data: &[u8], at: usize) -> Option<[u8; 2]> {
    data.get(at..at + 2)?.try_into().ok()
}

/// The EtherType of an IP packet.
fn version(packet: &[u8]) -> Result<[u8; 2], String> {
    match packet.first().map(|byte| byte >> 4) {
        Some(4) => Ok([0x08, 0x00]),
        Some(6) => Ok([0x86, 0xdd]),
        _ => Err("this is not an IP packet".to_owned()),
    }
}

/// Calls `each` with the number (from one) and every frame, or the reason why a frame cannot be judged, until it fails
/// or the file ends.
#[expect(clippy::wildcard_enum_match_arm, reason = "other blocks hold no frame")]
pub fn for_each_frame<R: Read>(
    mut file: R,
    mut each: impl FnMut(u64, Result<Captured, String>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut magic = [0; 4];
    file.read_exact(&mut magic)
        .context("the file is empty or not a capture; make one with tcpdump -w or Wireshark")?;
    let file = Cursor::new(magic).chain(file);
    let mut number = 0;
    if magic == PCAPNG {
        let mut reader = PcapNgReader::new(file)?;
        while let Some(block) = reader.next_block() {
            let block = block
                .with_context(|| format!("after frame {number}"))?
                .into_owned();
            let (interface, data, length) = match &block {
                Block::EnhancedPacket(packet) => {
                    (packet.interface_id, &packet.data, packet.original_len)
                }
                Block::SimplePacket(packet) => (0, &packet.data, packet.original_len),
                _ => continue,
            };
            let interfaces = reader.interfaces();
            let link = interfaces
                .get(interface as usize)
                .map(|interface| interface.linktype);
            number += 1;
            each(number, Captured::new(link, data, length))?;
        }
        return ensure_frames(number);
    }
    let mut reader = PcapReader::new(file)
        .context("the file is not a capture; make one with tcpdump -w or Wireshark")?;
    let link = reader.header().datalink;
    // The checked reader refuses every frame that is longer than the snap length.
    while let Some(packet) = reader.next_raw_packet() {
        let packet = packet.with_context(|| format!("after frame {number}"))?;
        number += 1;
        each(
            number,
            Captured::new(Some(link), &packet.data, packet.orig_len),
        )?;
    }
    ensure_frames(number)
}

fn ensure_frames(count: u64) -> anyhow::Result<()> {
    if count == 0 {
        bail!("the capture has no frame");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const IPV4: [u8; 4] = [0x45, 0, 0, 20];

    /// A capture in the classic format: its link type, and the length and the captured bytes of each frame.
    fn capture(link: u32, frames: &[(u32, &[u8])]) -> Vec<u8> {
        let mut file = Vec::new();
        file.extend(0xa1b2_c3d4_u32.to_le_bytes());
        file.extend([2, 0, 4, 0]);
        file.extend([0; 8]);
        file.extend(64_u32.to_le_bytes());
        file.extend(link.to_le_bytes());
        for (length, data) in frames {
            file.extend([0; 8]);
            file.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
            file.extend(length.to_le_bytes());
            file.extend(*data);
        }
        file
    }

    fn read(file: &[u8]) -> Vec<Result<Captured, String>> {
        let mut frames = Vec::new();
        for_each_frame(file, |_, frame| {
            frames.push(frame);
            Ok(())
        })
        .unwrap();
        frames
    }

    #[test]
    fn frames_of_every_link_type_with_ip_become_ethernet_frames() {
        let sll = [&[0; 14][..], &[0x08, 0x00], &IPV4].concat();
        let sll2 = [&[0x08, 0x00][..], &[0; 18], &IPV4].concat();
        let null = [&[2, 0, 0, 0][..], &IPV4].concat();
        for (link, data) in [
            (113, &sll[..]),
            (276, &sll2),
            (0, &null),
            (108, &null),
            (101, &IPV4),
            (228, &IPV4),
        ] {
            let length = u32::try_from(data.len()).unwrap();
            let frames = read(&capture(link, &[(length, data)]));
            let frame = frames[0].as_ref().unwrap();
            assert_eq!(
                frame.filled(0)[12..],
                [&[8, 0][..], &IPV4].concat(),
                "{link}"
            );
            assert!(!frame.is_cut());
        }
    }

    #[test]
    fn frame_longer_than_the_snap_length_is_filled_to_its_length() {
        let frames = read(&capture(101, &[(1500, &IPV4)]));
        let frame = frames[0].as_ref().unwrap();
        assert!(frame.is_cut());
        assert_eq!(frame.filled(0xff).len(), 14 + 1500);
    }

    #[test]
    fn odd_frame_is_named_and_the_next_one_is_read() {
        let frames = read(&capture(101, &[(4, &[0; 4]), (0, &[]), (4, &IPV4)]));
        assert!(frames[0].as_ref().unwrap_err().contains("not an IP packet"));
        assert!(frames[1].is_err() && frames[2].is_ok());
    }
}
