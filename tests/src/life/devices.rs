//! Changes of an interface that keep it: it goes down and up, is renamed, takes longer frames.
//!
//! The kernel's link stays where it is, so nothing may leak or be lost but what the interface itself does not take
//! while it is down.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result};
use nix::errno::Errno;

use super::found::Found;
use super::site::{PROBED, Site};
use super::traffic::CORES;
use crate::affinity::Pinned;
use crate::bpf::link_id;
use crate::edge::PATIENCE;
use crate::frames::between;
use crate::link::wait_up;
use crate::packet_socket::PacketSocket;
use crate::wait::poll;

/// How many numbers are sent while an interface is down, and between one change and the next.
pub(super) const NUMBERS: u64 = 80;
/// A source that is never blocked, and is none of the traffic's.
const OPEN: &str = "8.8.4.4";
/// A source in the country of the probes.
const PROBE: &str = "175.45.176.1";
/// Between two attempts to get a probe through a link that a flood fills.
const AGAIN: Duration = Duration::from_millis(50);

impl Site {
    /// Waits until so many numbers more have been sent.
    pub(super) fn wait_numbers(&self, more: u64) -> Result<()> {
        let from = self.numbers.sending();
        let sent = poll(PATIENCE, || {
            Ok((self.numbers.sending() >= from + more).then_some(()))
        })?;
        sent.context("nothing is sent")
    }

    pub(super) fn on_edge(&self, words: &[&str]) -> Result<()> {
        self.edge.pair.edge.run(words).map(drop)
    }

    pub(super) fn unprotected(&self, interface: &str) -> Result<Duration> {
        let series = format!("geofence_unprotected_seconds_total{{interface=\"{interface}\"}}");
        Ok(Duration::from_secs_f64(self.edge.metric(&series)?))
    }

    /// The links that hold the filter, by the names of their pins.
    fn links(&self) -> Result<BTreeMap<String, u32>> {
        let mut links = BTreeMap::new();
        for entry in std::fs::read_dir(self.edge.pins().join("links"))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            links.insert(name, link_id(&entry.path())?);
        }
        Ok(links)
    }
}

/// Does something to the protected interface again and again; the links must stay, and the daemon must stay healthy.
fn repeatedly(
    site: &mut Site,
    times: u32,
    mut deed: impl FnMut(&mut Site) -> Result<Vec<String>>,
) -> Result<Found> {
    let before = site.links()?;
    let mut found = Found::default();
    for number in 1..=times {
        let faults = deed(site)?;
        site.wait_numbers(NUMBERS)?;
        let health = site.edge.get("/healthz")?;
        let faults = faults
            .into_iter()
            .map(|fault| format!("time {number}: {fault}"));
        found.faults.extend(faults);
        found.expect(health.status == 200, || {
            format!(
                "time {number}: expected /healthz to answer 200 afterwards, but {} {}",
                health.status,
                health.body.trim()
            )
        });
    }
    let after = site.links()?;
    let is_same = !before.is_empty() && after == before;
    if is_same {
        found.notes.push("the same links".to_owned());
    }
    found.expect(is_same, || {
        format!("expected the links {before:?} to stay, but there are {after:?}")
    });
    let unprotected = site.unprotected(site.edge.interface())?;
    found.expect(unprotected.is_zero(), || {
        format!("expected that the interface is always protected, but {unprotected:?} are exported")
    });
    Ok(found)
}

pub(super) fn downs(site: &mut Site, times: u32) -> Result<Found> {
    let name = site.edge.interface().to_owned();
    repeatedly(site, times, |site| {
        let first = site.numbers.sending();
        change(site, &name, "down")?;
        site.wait_numbers(NUMBERS)?;
        change(site, &name, "up")?;
        wait_up(&site.edge.pair.edge, &name)?;
        let last = site.numbers.sending();
        site.numbers.excused.push(first..=last);
        Ok(Vec::new())
    })
}

/// Takes the interface down or up.
///
/// A veth's driver takes the program from its queues before it stops them, and starts them before it puts the program
/// back (veth_disable_xdp, veth_enable_xdp), so what comes in that moment meets no filter, whichever it is.
fn change(site: &mut Site, name: &str, to: &str) -> Result<()> {
    let begun = SystemTime::now();
    site.on_edge(&["ip", "link", "set", name, to])?;
    // The kernel notes the time of a frame when it has gone through the driver.
    let over = SystemTime::now() + Duration::from_millis(20);
    site.numbers.changing.push(begun..=over);
    Ok(())
}

pub(super) fn renames(site: &mut Site, times: u32) -> Result<Found> {
    let name = site.edge.interface().to_owned();
    repeatedly(site, times, |site| {
        site.on_edge(&["ip", "link", "set", &name, "name", "renamed"])?;
        site.wait_numbers(NUMBERS)?;
        let health = site.edge.get("/healthz")?;
        site.on_edge(&["ip", "link", "set", "renamed", "name", &name])?;
        let mut found = Found::default();
        found.expect(health.status == 200, || {
            format!(
                "expected /healthz to answer 200 under another name, but {} {}",
                health.status,
                health.body.trim()
            )
        });
        Ok(found.faults)
    })
}

pub(super) fn frame_sizes(site: &mut Site, times: u32) -> Result<Found> {
    repeatedly(site, times, |site| {
        set_mtu(site, "9000")?;
        let faults = long_frames(site)?;
        set_mtu(site, "1500")?;
        Ok(faults)
    })
}

fn set_mtu(site: &Site, mtu: &str) -> Result<()> {
    let pair = &site.edge.pair;
    for (namespace, interface) in [
        (&pair.edge, &pair.edge_interface),
        (&pair.peer, &pair.peer_interface),
    ] {
        namespace.run(&["ip", "link", "set", interface, "mtu", mtu])?;
    }
    Ok(())
}

/// What is wrong with how the filter treats frames that take an MTU of 9000.
///
/// The flood leaves no room on the link most of the time, so a probe that does not arrive says nothing: it is sent
/// again until the filter has counted it as dropped or it is seen behind the filter.
fn long_frames(site: &Site) -> Result<Vec<String>> {
    let pair = &site.edge.pair;
    let outside = PacketSocket::open(&pair.peer, &pair.peer_interface)?;
    let inside = PacketSocket::open(&pair.edge, &pair.edge_interface)?;
    let long = |source: &str| -> Result<Vec<u8>> {
        let source: IpAddr = source.parse()?;
        let frame = between(source, pair.edge_address_for(source)).udp(40_000, 53);
        Ok(frame.payload([7; 8900]).build())
    };
    let (blocked, open) = (long(PROBE)?, long(OPEN)?);
    // Through the queue of the numbered packets: it has more room, and it keeps the order of the probes.
    let _pinned = Pinned::to(CORES[0])?;
    let mut found = Found::default();
    let dropped = format!(
        "geofence_packets_total{{interface=\"{}\",country=\"{PROBED}\",action=\"drop\",\
         reason=\"country_blocked\"}}",
        site.edge.interface()
    );
    let before = site.edge.metric(&dropped)?;
    let mut sent = 0;
    let counted = poll(PATIENCE, || {
        send_or_lose(&outside, &blocked)?;
        sent += 1;
        poll(AGAIN, || {
            Ok((site.edge.metric(&dropped)? > before).then_some(()))
        })
    })?;
    found.expect(counted.is_some(), || {
        format!(
            "expected that a frame of {} bytes from {PROBE} is counted as dropped, but none of {sent} was within \
             {PATIENCE:?}",
            blocked.len()
        )
    });
    // In the same queue behind them: when this one is seen, all that passed of those before have been seen.
    let (mut leaked, mut sent) = (0, 0);
    let passed = poll(PATIENCE, || {
        send_or_lose(&outside, &open)?;
        sent += 1;
        let until = Instant::now() + AGAIN;
        while let Some(frame) = inside.receive(until.saturating_duration_since(Instant::now()))? {
            leaked += u32::from(frame == blocked);
            if frame == open {
                return Ok(Some(()));
            }
        }
        Ok(None)
    })?;
    found.expect(passed.is_some(), || {
        format!(
            "expected that a frame of {} bytes from {OPEN} passes, but none of {sent} was seen within {PATIENCE:?}",
            open.len()
        )
    });
    found.expect(leaked == 0, || {
        format!(
            "expected that no frame of {} bytes from {PROBE} passes, but {leaked} passed",
            blocked.len()
        )
    });
    Ok(found.faults)
}

/// Sends a frame for which the link may have no room; the kernel reports that with ENOBUFS or not at all.
fn send_or_lose(socket: &PacketSocket, frame: &[u8]) -> Result<()> {
    match socket.send_once(frame) {
        Err(error) if error.downcast_ref() == Some(&Errno::ENOBUFS) => Ok(()),
        sent => sent,
    }
}
