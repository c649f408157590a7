//! Writes captured frames to a pcapng file, with the verdict as the comment of each.

use std::borrow::Cow;
use std::io::Write;
use std::time::Duration;

use geofence_common::frame::Link;
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use pcap_file::{DataLink, Endianness, PcapError};

/// Times are in nanoseconds: ten to the power of minus nine.
const NANOSECONDS: u8 = 9;

/// A frame to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapturedPacket<'a> {
    pub interface: &'a str,
    pub link: Link,
    /// Since 1970.
    pub time: Duration,
    /// The length of the frame, of which the data may be the first part.
    pub length: u32,
    pub data: &'a [u8],
    pub comment: &'a str,
}

/// A pcapng file that is being written.
pub struct CaptureFile<W: Write> {
    writer: PcapNgWriter<W>,
    interfaces: Vec<(String, Link)>,
    snap: u32,
}

impl<W: Write> CaptureFile<W> {
    /// Begins a file. Frames are cut to `snap` bytes.
    pub fn begin(out: W, snap: u32) -> Result<Self, PcapError> {
        let application = concat!("geofence ", env!("CARGO_PKG_VERSION"));
        let section = SectionHeaderBlock {
            endianness: Endianness::native(),
            options: vec![SectionHeaderOption::UserApplication(Cow::Borrowed(
                application,
            ))],
            ..SectionHeaderBlock::default()
        };
        Ok(Self {
            writer: PcapNgWriter::with_section_header(out, section)?,
            interfaces: Vec::new(),
            snap,
        })
    }

    /// Writes a frame, and before the first of an interface what there is to say of that.
    pub fn write(&mut self, packet: &CapturedPacket<'_>) -> Result<(), PcapError> {
        let known = self
            .interfaces
            .iter()
            .position(|(name, link)| name == packet.interface && *link == packet.link);
        let interface = match known {
            Some(known) => known,
            None => self.describe(packet)?,
        };
        self.writer.write_pcapng_block(EnhancedPacketBlock {
            interface_id: u32::try_from(interface).unwrap_or(u32::MAX),
            timestamp: packet.time,
            original_len: packet.length,
            data: Cow::Borrowed(packet.data),
            options: vec![EnhancedPacketOption::Comment(Cow::Borrowed(packet.comment))],
        })?;
        Ok(())
    }

    fn describe(&mut self, packet: &CapturedPacket<'_>) -> Result<usize, PcapError> {
        let link = match packet.link {
            Link::Ethernet => DataLink::ETHERNET,
            Link::Ip => DataLink::RAW,
        };
        self.writer.write_pcapng_block(InterfaceDescriptionBlock {
            linktype: link,
            snaplen: self.snap,
            options: vec![
                InterfaceDescriptionOption::IfName(Cow::Borrowed(packet.interface)),
                InterfaceDescriptionOption::IfTsResol(NANOSECONDS),
            ],
        })?;
        self.interfaces
            .push((packet.interface.to_owned(), packet.link));
        Ok(self.interfaces.len() - 1)
    }

    /// Writes what is buffered, so that the file is whole.
    pub fn flush(&mut self) -> std::io::Result<()> {
        self.writer.get_mut().flush()
    }
}

#[cfg(test)]
mod tests {
    use pcap_file::pcapng::{Block, PcapNgReader};

    use super::*;
    use crate::explain::pcap::for_each_frame;

    #[test]
    fn frames_interfaces_times_and_comments_are_read_back() {
        let mut out = Vec::new();
        let mut file = CaptureFile::begin(&mut out, 64).unwrap();
        let ip = [&[0x45, 0, 0, 20][..], &[0; 16]].concat();
        let ethernet = [&[0; 12][..], &[8, 0], &ip].concat();
        for (interface, link, data, comment) in [
            ("eth0", Link::Ethernet, &ethernet, "one"),
            ("wg0", Link::Ip, &ip, "two"),
            ("eth0", Link::Ethernet, &ethernet, "three"),
        ] {
            let packet = CapturedPacket {
                interface,
                link,
                time: Duration::new(1_780_272_000, 123_456_789),
                length: 100,
                data,
                comment,
            };
            file.write(&packet).unwrap();
        }
        file.flush().unwrap();
        let mut frames = Vec::new();
        for_each_frame(&out[..], |number, frame| {
            frames.push((number, frame.unwrap()));
            Ok(())
        })
        .unwrap();
        assert_eq!(frames.len(), 3);
        assert!(frames.iter().all(|(_, one)| one.is_cut()));
        assert_eq!(frames[1].1.filled(0)[12..16], [8, 0, 0x45, 0]);
        let mut reader = PcapNgReader::new(&out[..]).unwrap();
        let mut packets = Vec::new();
        while let Some(block) = reader.next_block() {
            if let Block::EnhancedPacket(packet) = block.unwrap().into_owned() {
                packets.push((packet.interface_id, packet.timestamp, packet.options));
            }
        }
        let comment = |text: &'static str| vec![EnhancedPacketOption::Comment(text.into())];
        let time = Duration::new(1_780_272_000, 123_456_789);
        assert_eq!(packets[1], (1, time, comment("two")));
        assert_eq!(packets[2], (0, time, comment("three")));
        assert_eq!(reader.interfaces()[1].linktype, DataLink::RAW);
    }
}
