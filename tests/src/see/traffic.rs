//! Traffic of every kind that the dashboard shows, and a flood from millions of sources whose frames are counted.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Result, anyhow};
use nix::net::if_::if_nametoindex;

use super::site::{EXCEPTED, LISTED, TENANT};
use crate::bpf::Flood;
use crate::edge::Edge;
use crate::frames::between;
use crate::link;
use crate::packet_socket::PacketSocket;

/// A pause between two rounds, so that the traffic takes no core.
const PAUSE: Duration = Duration::from_millis(20);

/// Traffic that goes on until it is stopped.
pub(super) struct Traffic {
    stop: Arc<AtomicBool>,
    sender: JoinHandle<Result<()>>,
}

impl Traffic {
    /// Sends a round of frames every few milliseconds.
    pub(super) fn start(edge: &Edge) -> Result<Self> {
        let pair = &edge.pair;
        let outside = PacketSocket::open(&pair.peer, &pair.peer_interface)?;
        let inside = PacketSocket::open(&pair.edge, &pair.edge_interface)?;
        let own = pair.edge_addresses()[0];
        let (arriving, leaving) = frames(own)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let sender = thread::spawn(move || {
            while !stopped.load(Ordering::Acquire) {
                outside.send_many(&arriving)?;
                for frame in &leaving {
                    // The filter drops the one for the listed address, and the kernel reports that as an error.
                    let _ = inside.send_once(frame);
                }
                thread::sleep(PAUSE);
            }
            Ok(())
        });
        Ok(Self { stop, sender })
    }

    /// Ends it.
    pub(super) fn stop(self) -> Result<()> {
        self.stop.store(true, Ordering::Release);
        let ended = self.sender.join();
        ended.map_err(|_| anyhow!("the sender of the laboratory panicked"))?
    }
}

type Frames = Vec<Vec<u8>>;

/// The frames of a round: those that arrive, and those that leave.
fn frames(own: IpAddr) -> Result<(Frames, Frames)> {
    let address = |text: &str| text.parse::<IpAddr>();
    let opening = |from: &str, to: IpAddr, port: u16| -> Result<Vec<u8>> {
        Ok(between(address(from)?, to).tcp(40_000, port).syn().build())
    };
    let tenant = address(TENANT)?;
    let mut arriving = Vec::new();
    // Countries that are blocked, and some that are not.
    for source in [
        "77.88.8.8",
        "114.114.114.114",
        "84.200.69.80",
        "8.8.8.8",
        "10.0.0.1",
    ] {
        arriving.push(opening(source, own, 22)?);
        arriving.push(opening(source, tenant, 22)?);
    }
    for port in [25, 443, 993] {
        arriving.push(opening("77.88.8.8", own, port)?);
    }
    arriving.push(opening(EXCEPTED, own, 22)?);
    arriving.push(opening(LISTED, tenant, 22)?);
    // Shaped like an answer of a mail server that was never asked.
    let answer = between(address("77.88.8.8")?, own).tcp(25, 40_001);
    arriving.push(answer.ack().build());
    // Our side calls a mail server of a blocked country, and the address on the list.
    let leaving = ["77.88.8.8", LISTED].map(|to| -> Result<Vec<u8>> {
        let frame = between(own, address(to)?).tcp(40_002, 25);
        Ok(frame.syn().build())
    });
    let leaving = leaving.into_iter().collect::<Result<_>>()?;
    Ok((arriving, leaving))
}

/// What became of a flood.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flooded {
    /// Frames that reached the filter, as the driver counts them.
    pub(super) reached: u64,
    /// Of those, the ones that the filter dropped.
    pub(super) dropped: u64,
}

/// Floods the filter from ever new sources: so many networks of 65,536 addresses, with so many frames each.
pub(super) fn flood(edge: &Edge, networks: u16, frames: u32) -> Result<Flooded> {
    let pair = &edge.pair;
    let before = link::arrived(&pair.edge, &pair.edge_interface)?;
    let name = pair.peer_interface.as_str();
    let own = pair.edge_addresses()[0];
    pair.peer.enter(|| {
        let index = if_nametoindex(name)?;
        for network in 0..networks {
            // From 1.0.0.0/16 on, but for what is no address of a host.
            let [first, second] = (256 + network).to_be_bytes();
            let source = IpAddr::from([first, second, 0, 0]);
            let opening = between(source, own).tcp(40_000, 22).syn();
            Flood::new(opening, index)?.send(frames)?;
        }
        Ok::<_, anyhow::Error>(())
    })??;
    let after = link::arrived(&pair.edge, &pair.edge_interface)?;
    Ok(Flooded {
        reached: after.0 - before.0,
        dropped: after.1 - before.1,
    })
}
