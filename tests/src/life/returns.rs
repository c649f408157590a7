//! Interfaces that vanish and come back as others of the same name.
//!
//! A new interface of the old name has no filter until the daemon has seen it: what passes until then is counted, timed
//! from outside and compared with what the daemon exports.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::errno::Errno;
use nix::sys::signal::Signal;

use super::devices::NUMBERS;
use super::found::Found;
use super::site::Site;
use crate::edge::PATIENCE;
use crate::frames::between;
use crate::link::edge_mac;
use crate::namespace::Namespace;
use crate::packet_socket::PacketSocket;
use crate::wait::poll;

/// A blocked source that is none of the traffic's.
const BLOCKED: &str = "1.81.0.1";
/// How soon an interface that came back must be filtered, without the time that the daemon waited for a core.
const RETURN_MAX: Duration = Duration::from_secs(1);
/// By how much what the daemon exports may be off, without the time that it waited for a core.
const TOLERANCE: Duration = Duration::from_millis(10);
/// Between two frames from the blocked source.
const INTERVAL: Duration = Duration::from_micros(100);
/// The number of the link that is deleted, its ends' names, and how many pairs there are beside it.
const LINK: u8 = 1;
const ENDS: [&str; 2] = ["peer1", "edge1"];
const OTHER_PAIRS: u32 = 32;

/// What came of one interface that was made anew.
#[derive(Clone, Copy, Debug)]
struct Return {
    /// From before it was made to when the kernel said that the filter is there.
    took: Duration,
    /// What passed from blocked sources until then, and for how long.
    leaked: u64,
    leaking: Duration,
    exported: Duration,
    /// For how long the daemon was ready to run meanwhile and others ran.
    waited: Duration,
}

impl Return {
    /// How long the daemon took, without the time that it waited for a core.
    fn delay(&self) -> Duration {
        self.took.saturating_sub(self.waited)
    }

    /// By how much what the daemon exports is less than what was seen to pass, or more than it can have been. A daemon
    /// that waits for a core starts to count late by as much.
    fn off(&self) -> Duration {
        let less = self.leaking.saturating_sub(self.exported + self.waited);
        less.max(self.exported.saturating_sub(self.took))
    }
}

/// Deletes a protected interface and makes it anew, in three ways; the filter must be back soon, and the daemon must
/// say for how long it was not there. The flood goes on beside it, over the interface that stays.
pub(super) fn recreations(site: &mut Site, times: u32) -> Result<Found> {
    for pair in 0..OTHER_PAIRS {
        let (near, far) = (format!("other{pair}"), format!("rehto{pair}"));
        site.on_edge(&[
            "ip", "link", "add", &near, "up", "type", "veth", "peer", "name", &far,
        ])?;
    }
    make(site, None)?;
    let mut daemon = site.daemon.take().context("no daemon")?;
    daemon.signal(Signal::SIGTERM)?;
    daemon.wait(PATIENCE)?;
    let config = site.path("geofence.toml");
    let words = [
        "--config",
        config.to_str().context("a path")?,
        "--interface",
        site.edge.interface(),
        "--interface",
        ENDS[1],
    ];
    site.daemon = Some(site.edge.run(&words)?);
    let mut returns = Vec::new();
    for number in 0..times {
        returns.push(recreate(site, number).with_context(|| format!("return {number}"))?);
    }
    let longest = |of: fn(&Return) -> Duration| returns.iter().map(of).max().unwrap_or_default();
    let (delay, off) = (longest(Return::delay), longest(Return::off));
    let exact = returns.iter().filter(|one| one.off() <= TOLERANCE).count();
    let mut found = Found::note(format!(
        "filtered again after {:.1?} at most, {:.1?} of them waiting for a core; {} passed before that, in {:.1?} at \
         most; exported as unprotected for {:.1?} at most, {off:.1?} off at most, {exact} times within {TOLERANCE:?}",
        longest(|one| one.took),
        longest(|one| one.waited),
        returns.iter().map(|one| one.leaked).sum::<u64>(),
        longest(|one| one.leaking),
        longest(|one| one.exported),
    ));
    found.expect(delay <= RETURN_MAX, || {
        format!("expected an interface to be filtered again within {RETURN_MAX:?}, but one took {delay:.1?}")
    });
    // The witness and the kernel's news of an interface may be late as well: not more than now and then.
    found.expect(exact * 2 > returns.len(), || {
        format!(
            "expected that most exported times are within {TOLERANCE:?}, but {exact} of {} are",
            returns.len()
        )
    });
    found.expect(off < RETURN_MAX / 4, || {
        format!(
            "expected that no exported time is off by {:?}, but one is by {off:.1?}",
            RETURN_MAX / 4
        )
    });
    Ok(found)
}

/// Makes the interface, up at both ends at once, both of them in the edge's namespace; with a number if one is given.
fn make(site: &Site, index: Option<u32>) -> Result<()> {
    let mac = edge_mac(LINK).map(|byte| format!("{byte:02x}")).join(":");
    let index = index.map_or(String::new(), |index| format!(" index {index}"));
    let [near, far] = ENDS;
    let batch = format!(
        "link add {far} address {mac}{index} type veth peer name {near}\nlink set {near} up\nlink set {far} up\n"
    );
    let file = site.path("batch");
    std::fs::write(&file, batch)?;
    site.on_edge(&["ip", "-batch", file.to_str().context("a path")?])
}

fn recreate(site: &mut Site, number: u32) -> Result<Return> {
    let far = ENDS[1];
    let edge = &site.edge.pair.edge;
    let exported_before = site.unprotected(far)?;
    let index = edge.enter(|| nix::net::if_::if_nametoindex(far))??;
    edge.run(&["ip", "link", "delete", far])?;
    // At once, so that the daemon may never see that it was gone; else not before the daemon says that it is gone.
    if !number.is_multiple_of(3) {
        let status = site.edge.get("/healthz")?.status;
        ensure!(status == 503, "{far} is gone and /healthz answers {status}");
    }
    // Another interface takes the next number, or the new one takes the old one's.
    let _ = edge.run(&["ip", "link", "delete", "between0"]);
    if number % 3 == 1 {
        site.on_edge(&[
            "ip", "link", "add", "between0", "type", "veth", "peer", "name", "between1",
        ])?;
    }
    let done = AtomicBool::new(false);
    let waited_before = site.waited()?;
    let (took, waited, passed) = thread::scope(|scope| {
        let sender = scope.spawn(|| press(site, &done));
        let witness = scope.spawn(|| note(site, &done));
        let begun = Instant::now();
        let back = make(site, (number % 3 == 2).then_some(index)).and_then(|()| {
            poll(PATIENCE, || {
                Ok(site.edge.program(far)?.map(|_| begun.elapsed()))
            })
        });
        let waited = site.waited();
        // A while longer: nothing may pass any more.
        let going_on = site.wait_numbers(NUMBERS);
        done.store(true, Ordering::Release);
        let panicked = |_| anyhow!("a thread of the laboratory panicked");
        let sent = sender.join().map_err(panicked)?;
        let passed = witness.join().map_err(panicked)??;
        going_on.and(sent)?;
        let took = back?.with_context(|| format!("{far} is not filtered after {PATIENCE:?}"))?;
        anyhow::Ok((took, waited?.since(&waited_before), passed))
    })?;
    let health = site.edge.get("/healthz")?;
    ensure!(
        health.status == 200,
        "{far} is protected again and /healthz answers {} {}",
        health.status,
        health.body
    );
    let exported = site.unprotected(far)?.saturating_sub(exported_before);
    let leaking = match (passed.first(), passed.last()) {
        // The kernel notes the times by the wall clock, which may step back.
        (Some(first), Some(last)) => last.duration_since(*first).unwrap_or_default(),
        _ => Duration::ZERO,
    };
    Ok(Return {
        took,
        leaked: passed.len() as u64,
        leaking,
        exported,
        waited,
    })
}

/// Opens a socket on an interface as soon as there is one.
fn open(namespace: &Namespace, interface: &str, done: &AtomicBool) -> Result<PacketSocket> {
    loop {
        let opened = PacketSocket::open(namespace, interface);
        if opened.is_ok() || done.load(Ordering::Acquire) {
            return opened;
        }
        thread::sleep(INTERVAL);
    }
}

/// Sends from a blocked source, from the first moment on.
fn press(site: &Site, done: &AtomicBool) -> Result<()> {
    let source: IpAddr = BLOCKED.parse()?;
    let frame = between(source, "192.0.2.17".parse()?)
        .destination_mac(edge_mac(LINK))
        .tcp(40_000, 22)
        .syn()
        .build();
    let socket = open(&site.edge.pair.edge, ENDS[0], done)?;
    while !done.load(Ordering::Acquire) {
        match socket.send_once(&frame) {
            // It is there and not up yet, or has no room for the moment.
            Err(error)
                if matches!(error.downcast_ref(), Some(Errno::ENETDOWN | Errno::ENOBUFS)) => {}
            sent => sent?,
        }
        thread::sleep(INTERVAL);
    }
    Ok(())
}

/// When each packet from the blocked source passed.
fn note(site: &Site, done: &AtomicBool) -> Result<Vec<SystemTime>> {
    let source: IpAddr = BLOCKED.parse()?;
    let IpAddr::V4(source) = source else {
        return Ok(Vec::new());
    };
    let socket = open(&site.edge.pair.edge, ENDS[1], done)?;
    let mut passed = Vec::new();
    loop {
        let was_done = done.load(Ordering::Acquire);
        match socket.arrival(Duration::from_millis(20))? {
            Some(one) if one.frame.get(26..30) == Some(&source.octets()) => passed.push(one.at),
            Some(_) => {}
            None if was_done => return Ok(passed),
            None => {}
        }
    }
}
