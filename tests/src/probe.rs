//! Probes: frames sent into one end of a link to learn which of them a filter lets through.
//!
//! A frame that does not arrive is a verdict only if the link lost nothing and kept the order. [`PacketSocket::send`]
//! sees to the first, one core for all frames of a probe to the second. Nothing else may send on the link meanwhile.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use nix::errno::Errno;

use crate::affinity::Pinned;
use crate::frames::Frame;
use crate::packet_socket::PacketSocket;

/// Sends frames into one end of a link, in order, and returns those that arrive at the other.
///
/// Both ends must be of one link that nothing else is sent on. A frame that is not among those returned was dropped by
/// a filter: none is lost on the way, and a last frame that every filter passes shows that those before have arrived.
pub fn exchange(
    from: &PacketSocket,
    to: &PacketSocket,
    frames: &[Vec<u8>],
    patience: Duration,
) -> Result<Vec<Vec<u8>>> {
    /// So that no exchange takes the last frame of another for its own.
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let mut payload = [0x5a; 50];
    payload[..8].copy_from_slice(&number.to_be_bytes());
    let last = Frame::ethernet().raw(0x88b5, payload).build();
    // A link without a filter has one queue for each core, and two queues do not keep the order.
    let _pinned = Pinned::here()?;
    for frame in frames {
        match from.send(frame) {
            Err(error) if is_egress_drop(&error) => {}
            sent => sent?,
        }
    }
    from.send(&last)?;
    to.receive_until(patience, |frame| frame == last)
}

/// Whether a frame sent into one end of a link arrives at the other; see [`exchange`].
pub fn crosses(
    from: &PacketSocket,
    to: &PacketSocket,
    frame: &[u8],
    patience: Duration,
) -> Result<bool> {
    let arrived = exchange(from, to, &[frame.to_vec()], patience)?;
    Ok(arrived.iter().any(|one| is_same(one, frame)))
}

/// Whether a frame that arrived is the one that was sent. A card pads a short one (IEEE 802.3 clause 4.2.8).
fn is_same(arrived: &[u8], sent: &[u8]) -> bool {
    /// The shortest frame on a wire, without its check sequence.
    const SHORTEST: usize = 60;
    let padded = arrived.strip_prefix(sent);
    padded.is_some_and(|rest| rest.is_empty() || arrived.len() == SHORTEST)
}

/// The kernel answers `ENOBUFS` to a sender whose packet an egress filter dropped.
fn is_egress_drop(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| cause.downcast_ref() == Some(&Errno::ENOBUFS))
}
