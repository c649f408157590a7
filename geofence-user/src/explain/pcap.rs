//! Reads the frames of a capture file, pcap or pcapng.

use std::io::{Cursor, Read};

use anyhow::{Context as _, bail};
use pcap_file::DataLink;
use pcap_file::pcap::PcapReader;
use pcap_file::pcapng::{Block, PcapNgReader};

/// The first four bytes of a pcapng file: the type of a section header block.
const PCAPNG: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// Calls `each` with the number (from one) and the bytes of every frame, until it fails or the file ends.
#[expect(clippy::wildcard_enum_match_arm, reason = "other blocks hold no frame")]
pub fn for_each_frame<R: Read>(
    mut file: R,
    mut each: impl FnMut(u64, &[u8]) -> anyhow::Result<()>,
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
            let (interface, frame) = match &block {
                Block::EnhancedPacket(packet) => (packet.interface_id, &packet.data),
                Block::SimplePacket(packet) => (0, &packet.data),
                _ => continue,
            };
            let link = reader
                .interfaces()
                .get(interface as usize)
                .map(|interface| interface.linktype);
            if link != Some(DataLink::ETHERNET) {
                bail!(
                    "frame {} is not Ethernet; capture on an Ethernet interface",
                    number + 1
                );
            }
            number += 1;
            each(number, frame)?;
        }
        return Ok(());
    }
    let mut reader = PcapReader::new(file)
        .context("the file is not a capture; make one with tcpdump -w or Wireshark")?;
    let link = reader.header().datalink;
    if link != DataLink::ETHERNET {
        bail!(
            "the capture's link type is {link:?}, not Ethernet; capture on an Ethernet interface, not on \"any\""
        );
    }
    while let Some(packet) = reader.next_packet() {
        let packet = packet.with_context(|| format!("after frame {number}"))?;
        number += 1;
        each(number, &packet.data)?;
    }
    Ok(())
}
