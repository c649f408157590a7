//! Machines as they are: interfaces that come late, carry no Ethernet header, stand on others, visit another network
//! namespace, or leave the configuration.
//!
//! Each time, as soon as the daemon says that the interface is protected, packets from a blocked source must not get in
//! and one from an open source must. The traffic over the interface that stays goes on beside it.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use super::found::Found;
use super::site::{PROBED, SIDES, Site};
use crate::affinity::Pinned;
use crate::daemon::Daemon;
use crate::edge::{LISTEN, PATIENCE};
use crate::frames::{Frame, between};
use crate::namespace::Namespace;
use crate::packet_socket::PacketSocket;
use crate::probe::exchange;
use crate::tun::{Carries, Tun};
use crate::wait::poll;

/// A blocked source that is none of the traffic's, one that is never blocked, and a destination.
const BLOCKED: &str = "1.81.0.1";
const OPEN: &str = "8.8.4.4";
const HERE: &str = "192.0.2.17";
/// The interface that comes late and the end that sends into it, the one without an Ethernet header, the one on top.
const LATE: &str = "late0";
const SENDER: &str = "retal0";
const TUN: &str = "tun0";
const UPPER: &str = "upper0";
const UPPER_MAC: [u8; 6] = [2, 0, 0, 0, 5, 1];
/// Packets from the blocked source in each case.
const COUNT: u16 = 200;

/// What came of all cases.
#[derive(Debug, Default)]
struct Tally {
    sent: usize,
    leaked: usize,
    /// Packets from the open source that did not get in.
    lost: usize,
    /// The longest time from when an interface could be protected until it was.
    slowest: Duration,
}

pub(super) fn as_they_are(site: &mut Site, times: u32) -> Result<Found> {
    let mut tally = Tally::default();
    restart(
        site,
        &[site.edge.interface().to_owned(), LATE.into(), TUN.into()],
    )?;
    for _ in 0..times {
        round(site, &mut tally)?;
    }
    let mut found = Found::default();
    leave(site, &mut found)?;
    let Tally {
        sent,
        leaked,
        lost,
        slowest,
    } = tally;
    found.notes.push(format!(
        "{sent} packets from a blocked source into late, header-less, stacked and returning interfaces, {leaked} got \
         in; protected {slowest:.1?} after an interface came, at most"
    ));
    found.expect(leaked == 0 && sent > 0, || {
        format!(
            "expected that none of {sent} packets from a blocked source gets in, but {leaked} did"
        )
    });
    found.expect(lost == 0, || {
        format!("expected that every packet from an open source gets in, but {lost} did not")
    });
    Ok(found)
}

/// Each kind of interface once.
fn round(site: &Site, tally: &mut Tally) -> Result<()> {
    let edge = &site.edge.pair.edge;
    // Late: it did not exist when the daemon started.
    tally.appears(site, LATE, || {
        site.on_edge(&[
            "ip", "link", "add", LATE, "type", "veth", "peer", "name", SENDER,
        ])?;
        rise(edge)
    })?;
    tally.probe(edge, LATE, &Frame::ethernet())?;
    // Stacked: what the upper device receives was judged at the lower one.
    let address = UPPER_MAC.map(|byte| format!("{byte:02x}")).join(":");
    site.on_edge(&[
        "ip", "link", "add", "link", LATE, "name", UPPER, "address", &address, "up", "type",
        "macvlan",
    ])?;
    let frame = Frame::ethernet().destination_mac(UPPER_MAC);
    tally.probe(edge, UPPER, &frame)?;
    site.on_edge(&["ip", "link", "delete", UPPER])?;
    // In another namespace it is not ours; when it is back, it is.
    let elsewhere = Namespace::new()?;
    site.on_edge(&["ip", "link", "set", LATE, "netns", &elsewhere.path()])?;
    wait_gone(site, LATE)?;
    tally.appears(site, LATE, || {
        elsewhere.run(&["ip", "link", "set", LATE, "netns", &edge.path()])?;
        rise(edge)
    })?;
    tally.probe(edge, LATE, &Frame::ethernet())?;
    site.on_edge(&["ip", "link", "delete", LATE])?;
    wait_gone(site, LATE)?;
    // Without an Ethernet header.
    let mut tun = None;
    tally.appears(site, TUN, || {
        tun = Some(Tun::new(edge, TUN, Carries::Packets)?);
        Ok(())
    })?;
    let tun = tun.context("no tun")?;
    let inside = PacketSocket::open(edge, TUN)?;
    let packet = |source: &str, port: u16| -> Result<Vec<u8>> {
        let packet = Frame::packet().ip(source.parse()?, HERE.parse()?);
        Ok(packet.tcp(port, 22).syn().build())
    };
    for number in 0..COUNT {
        tun.send(&packet(BLOCKED, 1024 + number)?)?;
    }
    let last = packet(OPEN, 1024)?;
    tun.send(&last)?;
    // Nothing overtakes on a tun, so the last one shows that the others have met their fate.
    let seen = inside.receive_until(PATIENCE, |frame| frame == last)?;
    let leaked = seen.iter().filter(|frame| is_from(frame, BLOCKED));
    tally.count(leaked.count(), true);
    drop(tun);
    wait_gone(site, TUN)
}

/// An interface that leaves the configuration is no longer protected, and the others stay so.
fn leave(site: &mut Site, found: &mut Found) -> Result<()> {
    let edge = site.edge.pair.edge.clone();
    edge.run(&[
        "ip", "link", "add", LATE, "type", "veth", "peer", "name", SENDER,
    ])?;
    rise(&edge)?;
    wait_protected(site, LATE)?;
    restart(site, &[site.edge.interface().to_owned()])?;
    let program = site.edge.program(LATE)?;
    found.expect(program.is_none(), || {
        format!(
            "expected no program on {LATE}, which left the configuration, but it has {program:?}"
        )
    });
    found.expect(is_protected(site, site.edge.interface())?, || {
        "expected that the other interface stays protected, but it is not".to_owned()
    });
    edge.run(&["ip", "link", "delete", LATE]).map(drop)
}

impl Tally {
    /// Makes an interface, and waits until the daemon protects it.
    fn appears(
        &mut self,
        site: &Site,
        interface: &str,
        make: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        make()?;
        let begun = Instant::now();
        wait_protected(site, interface)?;
        self.slowest = self.slowest.max(begun.elapsed());
        Ok(())
    }

    /// Sends from both sources into the late interface, in this kind of frame, and looks at what an interface receives.
    fn probe(&mut self, edge: &Namespace, behind: &str, frame: &Frame) -> Result<()> {
        let outside = PacketSocket::open(edge, SENDER)?;
        let inside = PacketSocket::open(edge, behind)?;
        let from = |source: &str, port: u16| -> Result<Vec<u8>> {
            let packet = frame.clone().ip(source.parse()?, HERE.parse()?);
            Ok(packet.tcp(port, 22).syn().build())
        };
        let mut frames: Vec<_> = (0..COUNT)
            .map(|number| from(BLOCKED, 1024 + number))
            .collect::<Result<_>>()?;
        frames.push(from(OPEN, 1024)?);
        let (seen, open_came) = if behind == LATE {
            let seen = exchange(&outside, &inside, &frames, PATIENCE)?;
            let open_came = seen.iter().any(|frame| is_from(frame, OPEN));
            (seen, open_came)
        } else {
            // The last frame of an exchange is not for this device, so that of the open source is the last.
            let _pinned = Pinned::here()?;
            for frame in &frames {
                outside.send(frame)?;
            }
            let open: IpAddr = OPEN.parse()?;
            let expected = between(open, HERE.parse()?).tcp(1024, 22).syn().build();
            let is_last = |frame: &[u8]| frame.get(14..) == expected.get(14..);
            (inside.receive_until(PATIENCE, is_last)?, true)
        };
        let leaked = seen.iter().filter(|frame| is_from(frame, BLOCKED));
        self.count(leaked.count(), open_came);
        Ok(())
    }

    fn count(&mut self, leaked: usize, open_came: bool) {
        self.sent += usize::from(COUNT);
        self.leaked += leaked;
        self.lost += usize::from(!open_came);
    }
}

/// Whether a frame holds this IPv4 address, which none of the others here has.
fn is_from(frame: &[u8], source: &str) -> bool {
    let octets = source.parse::<Ipv4Addr>().map(|ip| ip.octets());
    octets.is_ok_and(|octets| frame.windows(4).any(|bytes| bytes == octets))
}

/// Ends the daemon and starts one that protects these interfaces, whatever kind they are of.
fn restart(site: &mut Site, interfaces: &[String]) -> Result<()> {
    let config = site.path("machines.toml");
    let text = format!(
        "xdp-mode = \"auto\"\nblock = [\"CN\", \"{}\", \"{}\"]\n",
        PROBED, SIDES[site.side]
    );
    fs::write(&config, text)?;
    let mut daemon = site.daemon.take().context("no daemon")?;
    daemon.signal(Signal::SIGTERM)?;
    daemon.wait(PATIENCE)?;
    let mut words = vec!["--listen", LISTEN];
    words.extend(["--config", config.to_str().context("a path")?]);
    for interface in interfaces {
        words.extend(["--interface", interface]);
    }
    let mut daemon = Daemon::run(&site.edge.pair.edge, &words, &[])?;
    daemon.wait_line("ready: ", PATIENCE)?;
    site.daemon = Some(daemon);
    Ok(())
}

/// Takes both ends of the late interface up.
fn rise(edge: &Namespace) -> Result<()> {
    for end in [SENDER, LATE] {
        edge.run(&["ip", "link", "set", end, "arp", "off", "up"])?;
    }
    Ok(())
}

fn is_protected(site: &Site, interface: &str) -> Result<bool> {
    let series = format!("geofence_interface_protected{{interface=\"{interface}\"}}");
    Ok(site.edge.metric(&series)? == 1.0)
}

fn wait_gone(site: &Site, interface: &str) -> Result<()> {
    let seen = poll(PATIENCE, || {
        Ok((!is_protected(site, interface)?).then_some(()))
    })?;
    seen.with_context(|| format!("{interface} is gone and called protected after {PATIENCE:?}"))
}

fn wait_protected(site: &Site, interface: &str) -> Result<()> {
    let seen = poll(
        PATIENCE,
        || Ok(is_protected(site, interface)?.then_some(())),
    )?;
    seen.with_context(|| format!("{interface} is not protected after {PATIENCE:?}"))?;
    ensure!(
        site.edge.program(interface)?.is_some(),
        "{interface} is called protected and has no program; the daemon said\n{}",
        site.daemon.as_ref().map(Daemon::stderr).unwrap_or_default()
    );
    Ok(())
}
