//! Every frame of the corpus, judged by the kernel and by the host.

use anyhow::{Context as _, Result, ensure};
use geofence_common::decide::filter as filter_on_host;
use geofence_common::frame::{IpFrame, Link};
use geofence_user::explain::simulated_tables::{PacketHistory, SimulatedTables};
use geofence_user::kernel::Filter;
use geofence_user::os::clock::boot_now;
use geofence_user::prepare::Prepared;

use crate::corpus::corpus;

/// Addresses of a blocked country and of an open one, of both families.
const SOURCES: [&str; 4] = [
    "77.88.8.8",
    "84.200.69.80",
    "2a02:6b8::1",
    "2001:4860:4860::8888",
];

/// Where a frame that brings IP behind an Ethernet header has its packet.
const PACKET: usize = 14;

/// Checks that the running kernel gives each frame the host's verdict; returns how many frames that were. With
/// `is_whole`, the program for IP devices is asked as well, about the packet of each frame without tags.
pub fn corpus_agrees(prepared: &Prepared, is_whole: bool) -> Result<usize> {
    let mut filter = Filter::load(prepared.options(true))?;
    if is_whole {
        filter.load_ip()?;
    }
    filter.install(&prepared.image, prepared.lpm_prefixes()?.as_ref())?;
    // First fragments that pass are remembered, by the kernel and here.
    let host = SimulatedTables::new(prepared.image.words(), PacketHistory::default());
    let mut cases = 0;
    for source in SOURCES {
        let destination = if source.contains(':') {
            "2001:db8::2"
        } else {
            "192.0.2.2"
        };
        // The kernel runs no test on a frame shorter than an Ethernet header.
        let frames = corpus(source.parse()?, destination.parse()?).into_iter();
        for (name, frame) in frames.filter(|(_, frame)| frame.len() >= 14) {
            host.set_now(boot_now()?);
            let expected = filter_on_host(&frame.as_slice(), &host, &mut ());
            let kernel = filter.ask(&frame).with_context(|| name.to_owned())?;
            ensure!(
                kernel == expected,
                "{name} from {source}: the kernel says {kernel:?}, the host {expected:?}"
            );
            cases += 1;
            // A device decides by the version, and the kernel runs no test on a shorter packet.
            let versions = (
                frame.get(12..PACKET),
                frame.get(PACKET).map(|byte| byte >> 4),
            );
            let is_ip = matches!(
                versions,
                (Some([0x08, 0x00]), Some(4)) | (Some([0x86, 0xdd]), Some(6))
            );
            if !is_whole || !is_ip || frame.len() < 2 * PACKET {
                continue;
            }
            let packet = &frame[PACKET..];
            host.set_now(boot_now()?);
            let expected = filter_on_host(&IpFrame(packet), &host, &mut ());
            let kernel = filter
                .ask_on(Link::Ip, packet)
                .with_context(|| name.to_owned())?;
            ensure!(
                kernel == expected,
                "{name} from {source}, as a packet: the kernel says {kernel:?}, the host {expected:?}"
            );
            cases += 1;
        }
    }
    Ok(cases)
}
