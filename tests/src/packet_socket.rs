//! Raw frames in and out of an interface, exactly as they are on the wire.
//!
//! The kernel shows a packet socket what came in *after* a native or generic XDP program let it pass, so a socket at
//! the edge sees what the filter passed. Two things need undoing: the kernel removes a frame's first VLAN tag
//! before it shows the frame, and it shows what the socket's own host sends. This file puts the tag back and leaves
//! out what goes out. It assumes Ethernet.
//!
//! A veth holds 256 frames between its ends, and the kernel drops the next one. On a busy machine it may empty that
//! queue late, so [`PacketSocket::send`] and [`PacketSocket::send_many`] read the driver's counters: they leave room
//! and wait until the other end has taken what was sent. [`crate::probe`] then says for certain which frames a filter
//! let through.
//!
//! Two things it cannot undo. The kernel drops a frame that ends less than two bytes behind its first tag before it
//! shows it, filter or not. And frames of a host's own TCP or UDP may arrive unsegmented and without checksums, as
//! the kernel leaves that work to hardware that a veth does not have.
#![expect(
    unsafe_code,
    reason = "libc offers the packet(7) address and ancillary data only as raw structures"
)]

use std::io;
use std::mem;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, send, setsockopt, socket, sockopt,
};

use crate::affinity::Pinned;
use crate::namespace::Namespace;
use crate::sent_counters::SentCounters;
use crate::wait;

/// Holds a burst of some ten thousand small frames, so that a slow reader loses none.
const RECEIVE_BUFFER: usize = 32 << 20;
/// Longer than any frame a veth carries; a longer one is an error, not a silent cut.
const FRAME_MAX: usize = 128 << 10;
/// The kernel takes no more messages in one call (UIO_MAXIOV).
const BATCH_MAX: usize = 1024;
/// How many frames may be on their way to the other end: half of what a veth's queue holds.
const WINDOW: usize = 128;
/// How long the other end may take to fetch them from the queue.
const DRAIN_PATIENCE: Duration = Duration::from_secs(120);
/// Where a VLAN tag sits: behind the two MAC addresses.
const TAG_OFFSET: usize = 12;

/// Room for the ancillary data, aligned as the kernel's headers in it must be.
#[repr(C, align(8))]
struct Ancillary([u8; 128]);

/// A socket for the raw frames of one interface.
#[derive(Debug)]
pub struct PacketSocket {
    descriptor: OwnedFd,
    interface: String,
    counters: SentCounters,
}

/// A frame that came in.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The frame as it was sent.
    pub frame: Vec<u8>,
    /// When the kernel took it in, however late it was read.
    pub at: SystemTime,
}

impl PacketSocket {
    /// Opens a socket on an interface of a namespace; it receives from now on.
    pub fn open(namespace: &Namespace, interface: &str) -> Result<Self> {
        let (descriptor, counters) = namespace
            .enter(|| {
                let counters = SentCounters::open(interface)?;
                anyhow::Ok((open(interface)?, counters))
            })?
            .with_context(|| format!("opening a packet socket on {interface}"))?;
        Ok(Self {
            descriptor,
            interface: interface.to_owned(),
            counters,
        })
    }

    /// Sends one frame as it is, MAC addresses first; sends it again if the link had no room for it.
    ///
    /// The error holds `ENOBUFS` if the interface's egress filter dropped the frame.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        let deadline = Instant::now() + DRAIN_PATIENCE;
        loop {
            let lost = self.counters.read()?.lost;
            self.send_once(frame)?;
            // The driver counts before the call returns.
            if self.counters.read()?.lost == lost {
                return Ok(());
            }
            if Instant::now() >= deadline {
                bail!(
                    "{} had no room for a frame for {DRAIN_PATIENCE:?}, or the other end is down",
                    self.interface
                );
            }
            std::thread::yield_now();
        }
    }

    /// Sends one frame; the link may lose it.
    pub fn send_once(&self, frame: &[u8]) -> Result<()> {
        let sent =
            send(self.descriptor.as_raw_fd(), frame, MsgFlags::empty()).with_context(|| {
                let length = frame.len();
                format!(
                    "sending a frame of {length} bytes on {} (14 at least, its MTU + 18 at most)",
                    self.interface
                )
            })?;
        if sent != frame.len() {
            bail!(
                "{} took {sent} of a frame's {} bytes",
                self.interface,
                frame.len()
            );
        }
        Ok(())
    }

    /// Sends frames in order and without loss: never more at once than the link holds.
    ///
    /// It counts what the interface sends, so nothing else may send on the interface meanwhile.
    pub fn send_many(&self, frames: &[Vec<u8>]) -> Result<()> {
        // A link without a filter has one queue for each core, and two queues do not keep the order.
        let _pinned = Pinned::here()?;
        for frames in frames.chunks(WINDOW) {
            let before = self.counters.read()?;
            self.send_burst(frames)?;
            let expected = before.delivered + before.lost + frames.len() as u64;
            let drained = wait::poll(DRAIN_PATIENCE, || {
                let now = self.counters.read()?;
                Ok((now.delivered + now.lost >= expected).then_some(now))
            })?;
            let now = drained.with_context(|| {
                format!(
                    "the other end of {} did not fetch {} frames within {DRAIN_PATIENCE:?}",
                    self.interface,
                    frames.len()
                )
            })?;
            let lost = now.lost - before.lost;
            if lost > 0 {
                bail!("{} lost {lost} of {} frames", self.interface, frames.len());
            }
        }
        Ok(())
    }

    /// Sends frames in order, with as few calls of the kernel as it takes; the link may lose some.
    pub fn send_burst(&self, frames: &[Vec<u8>]) -> Result<()> {
        let mut slices: Vec<libc::iovec> = frames
            .iter()
            .map(|frame| libc::iovec {
                iov_base: frame.as_ptr().cast_mut().cast(),
                iov_len: frame.len(),
            })
            .collect();
        let mut messages: Vec<libc::mmsghdr> = slices
            .iter_mut()
            .map(|slice| {
                // SAFETY: mmsghdr is numbers and pointers, for which all zeroes is a value.
                let mut message: libc::mmsghdr = unsafe { mem::zeroed() };
                message.msg_hdr.msg_iov = slice;
                message.msg_hdr.msg_iovlen = 1;
                message
            })
            .collect();
        let mut rest = &mut messages[..];
        while !rest.is_empty() {
            let count = rest.len().min(BATCH_MAX);
            // SAFETY: the messages are whole, and the frames and slices they point to outlive the call.
            let sent = unsafe {
                libc::sendmmsg(
                    self.descriptor.as_raw_fd(),
                    rest.as_mut_ptr(),
                    count as libc::c_uint,
                    0,
                )
            };
            match usize::try_from(sent) {
                Ok(sent) => rest = &mut rest[sent..],
                Err(_) if Errno::last() == Errno::EINTR => {}
                // The way out is full for the moment.
                Err(_) if Errno::last() == Errno::ENOBUFS => std::thread::yield_now(),
                Err(_) => {
                    return Err(Errno::last())
                        .with_context(|| format!("sending frames on {}", self.interface));
                }
            }
        }
        Ok(())
    }

    /// How many frames the socket lost since the last call because they were read too late.
    pub fn missed(&self) -> Result<u32> {
        let mut statistics = libc::tpacket_stats {
            tp_packets: 0,
            tp_drops: 0,
        };
        let mut length = size_of_val(&statistics) as libc::socklen_t;
        // SAFETY: the option fills in a tpacket_stats, and that is what it is given, with its size.
        let status = unsafe {
            libc::getsockopt(
                self.descriptor.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut statistics).cast(),
                &raw mut length,
            )
        };
        Errno::result(status)
            .with_context(|| format!("asking what a socket on {} lost", self.interface))?;
        Ok(statistics.tp_drops)
    }

    /// Returns the next frame that came in, as it was sent; `None` when `patience` ran out first.
    pub fn receive(&self, patience: Duration) -> Result<Option<Vec<u8>>> {
        Ok(self.arrival(patience)?.map(|arrival| arrival.frame))
    }

    /// The same, with the time of arrival.
    pub fn arrival(&self, patience: Duration) -> Result<Option<Arrival>> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(arrival) = self.take()? {
                return Ok(Some(arrival));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            // Rounded up, or the last fraction of a millisecond would be spent spinning.
            let timeout = PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX);
            match poll(
                &mut [PollFd::new(self.descriptor.as_fd(), PollFlags::POLLIN)],
                timeout,
            ) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("waiting for a frame on {}", self.interface));
                }
            }
        }
    }

    /// Returns the frames that came in before the one that `last` recognises, which it leaves out.
    ///
    /// This is how to see that something did *not* arrive: send it, send a frame sure to pass, and receive up to that.
    pub fn receive_until(
        &self,
        patience: Duration,
        last: impl Fn(&[u8]) -> bool,
    ) -> Result<Vec<Vec<u8>>> {
        let deadline = Instant::now() + patience;
        let mut frames = Vec::new();
        loop {
            match self.receive(deadline.saturating_duration_since(Instant::now()))? {
                Some(frame) if last(&frame) => return Ok(frames),
                Some(frame) => frames.push(frame),
                None => bail!(
                    "{} got {} other frames but not the one awaited within {patience:?}",
                    self.interface,
                    frames.len()
                ),
            }
        }
    }

    /// The next incoming frame if one is queued.
    fn take(&self) -> Result<Option<Arrival>> {
        let mut buffer = vec![0; FRAME_MAX];
        let mut ancillary = Ancillary([0; 128]);
        loop {
            // SAFETY: sockaddr_ll is plain numbers, for which all zeroes is a value.
            let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
            let mut slice = libc::iovec {
                iov_base: buffer.as_mut_ptr().cast(),
                iov_len: buffer.len(),
            };
            // SAFETY: msghdr is numbers and pointers, for which all zeroes is a value.
            let mut message: libc::msghdr = unsafe { mem::zeroed() };
            message.msg_name = (&raw mut address).cast();
            message.msg_namelen = size_of_val(&address) as libc::socklen_t;
            message.msg_iov = &raw mut slice;
            message.msg_iovlen = 1;
            message.msg_control = ancillary.0.as_mut_ptr().cast();
            message.msg_controllen = ancillary.0.len();
            // SAFETY: every pointer in `message` is to a local that outlives the call, with that local's size.
            let received = unsafe {
                libc::recvmsg(
                    self.descriptor.as_raw_fd(),
                    &raw mut message,
                    libc::MSG_DONTWAIT,
                )
            };
            let Ok(length) = usize::try_from(received) else {
                let error = Errno::last();
                // An interface that goes down says so once, and when it is up again the socket hears of it as before.
                if matches!(error, Errno::EINTR | Errno::ENETDOWN) {
                    continue;
                }
                if error == Errno::EAGAIN {
                    return Ok(None);
                }
                return Err(error)
                    .with_context(|| format!("receiving a frame on {}", self.interface));
            };
            if message.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0 {
                bail!(
                    "{} received a frame that does not fit into {FRAME_MAX} bytes",
                    self.interface
                );
            }
            if address.sll_pkttype == libc::PACKET_OUTGOING {
                continue;
            }
            let mut frame = buffer[..length].to_vec();
            let (tag, at) = ancillary_of(&message);
            if let Some(tag) = tag {
                let at = TAG_OFFSET.min(frame.len());
                frame.splice(at..at, tag);
            }
            let at = at.unwrap_or_else(SystemTime::now);
            return Ok(Some(Arrival { frame, at }));
        }
    }
}

/// Opens the socket in the calling thread's namespace.
fn open(interface: &str) -> Result<OwnedFd> {
    let index =
        nix::net::if_::if_nametoindex(interface).context("no such interface in its namespace")?;
    // Without a protocol the socket hears nothing until it is bound, so nothing of another interface slips in.
    let flags = SockFlag::SOCK_CLOEXEC;
    let descriptor = socket(AddressFamily::Packet, SockType::Raw, flags, None)
        .context("it needs CAP_NET_RAW")?;
    setsockopt(&descriptor, sockopt::RcvBufForce, &RECEIVE_BUFFER)
        .context("enlarging its buffer")?;
    for (level, option) in [
        (libc::SOL_PACKET, libc::PACKET_AUXDATA),
        (libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING),
        (libc::SOL_SOCKET, libc::SO_TIMESTAMPNS),
    ] {
        let one: libc::c_int = 1;
        // SAFETY: the option takes a C int, and that is what it is given, with its size.
        let status = unsafe {
            libc::setsockopt(
                descriptor.as_raw_fd(),
                level,
                option,
                (&raw const one).cast(),
                size_of_val(&one) as libc::socklen_t,
            )
        };
        Errno::result(status).with_context(|| format!("setting its option {option}"))?;
    }
    // SAFETY: sockaddr_ll is plain numbers, for which all zeroes is a value.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = i32::try_from(index)?;
    // SAFETY: the address is a complete sockaddr_ll, given with its size.
    let status = unsafe {
        libc::bind(
            descriptor.as_raw_fd(),
            (&raw const address).cast(),
            size_of_val(&address) as libc::socklen_t,
        )
    };
    if status != 0 {
        return Err(io::Error::last_os_error()).context("binding it");
    }
    Ok(descriptor)
}

/// What comes along with a frame: the four bytes of the VLAN tag that the kernel removed, if it did, and the time at
/// which it took the frame in.
fn ancillary_of(message: &libc::msghdr) -> (Option<[u8; 4]>, Option<SystemTime>) {
    let (mut tag, mut at) = (None, None);
    // SAFETY: recvmsg filled `message`, and its control buffer is still alive in the caller.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !header.is_null() {
        // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR return null or a whole header inside the aligned control buffer.
        let control = unsafe { &*header };
        match (control.cmsg_level, control.cmsg_type) {
            (libc::SOL_PACKET, libc::PACKET_AUXDATA) => {
                // SAFETY: the kernel puts a whole tpacket_auxdata behind a header of this level and type.
                let data: libc::tpacket_auxdata = unsafe {
                    libc::CMSG_DATA(header)
                        .cast::<libc::tpacket_auxdata>()
                        .read_unaligned()
                };
                tag = stripped_tag(&data);
            }
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                // SAFETY: the kernel puts a whole timespec behind a header of this level and type.
                let time: libc::timespec = unsafe {
                    libc::CMSG_DATA(header)
                        .cast::<libc::timespec>()
                        .read_unaligned()
                };
                let since = u64::try_from(time.tv_sec)
                    .ok()
                    .zip(u32::try_from(time.tv_nsec).ok());
                at = since
                    .map(|(seconds, nanos)| SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos));
            }
            _ => {}
        }
        // SAFETY: `header` came from this message, and its control buffer is still alive in the caller.
        header = unsafe { libc::CMSG_NXTHDR(message, header) };
    }
    (tag, at)
}

fn stripped_tag(data: &libc::tpacket_auxdata) -> Option<[u8; 4]> {
    if data.tp_status & libc::TP_STATUS_VLAN_VALID == 0 {
        return None;
    }
    let identified = data.tp_status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
    let protocol = if identified {
        data.tp_vlan_tpid
    } else {
        0x8100
    };
    let ([a, b], [c, d]) = (protocol.to_be_bytes(), data.tp_vlan_tci.to_be_bytes());
    Some([a, b, c, d])
}
