//! Devices without a wire: what is written to the file of a tun comes in by its interface, and what the interface sends
//! is read from the file.
//!
//! A tun carries IP packets without a link header, a tap Ethernet frames. The interface is gone when the file is
//! closed.
#![expect(
    unsafe_code,
    reason = "ioctl has no safe interface: it takes a name and a number"
)]

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::namespace::Namespace;

/// Longer than what any tun here carries.
const PACKET_MAX: usize = 64 << 10;

nix::ioctl_write_ptr_bad!(set_interface, libc::TUNSETIFF, libc::ifreq);
nix::ioctl_write_int_bad!(set_link, libc::TUNSETLINK);

/// What a device carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carries {
    /// IP packets without a link header.
    Packets,
    /// Ethernet frames.
    Frames,
}

/// An interface of a namespace, and its file.
#[derive(Debug)]
pub struct Tun {
    file: File,
    namespace: Namespace,
    name: String,
}

impl Tun {
    /// Makes the interface in a namespace, and takes it up.
    pub fn new(namespace: &Namespace, name: &str, carries: Carries) -> Result<Self> {
        let file = namespace
            .enter(|| open(name, carries))?
            .with_context(|| format!("making the tun {name}; does /dev/net/tun exist?"))?;
        let tun = Self {
            file,
            namespace: namespace.clone(),
            name: name.to_owned(),
        };
        tun.set_up(true)?;
        Ok(tun)
    }

    /// Takes the interface up or down.
    pub fn set_up(&self, up: bool) -> Result<()> {
        let state = if up { "up" } else { "down" };
        let words = ["ip", "link", "set", "dev", &self.name, state];
        self.namespace.run(&words).map(drop)
    }

    /// Gives the interface, which must be down, another link type: an ARPHRD number.
    pub fn set_link_type(&self, number: u16) -> Result<()> {
        // SAFETY: the call takes a number and touches no memory.
        unsafe { set_link(self.file.as_raw_fd(), i32::from(number)) }
            .with_context(|| format!("changing the link type of {} to {number}", self.name))?;
        Ok(())
    }

    /// Has a packet come in by the interface.
    pub fn send(&self, packet: &[u8]) -> Result<()> {
        let sent = (&self.file)
            .write(packet)
            .with_context(|| format!("writing a packet to {}", self.name))?;
        ensure!(sent == packet.len(), "{} took {sent} bytes", self.name);
        Ok(())
    }

    /// Reads what the interface sends until a packet is there that is looked for.
    pub fn receive_until(
        &self,
        patience: Duration,
        is_last: impl Fn(&[u8]) -> bool,
    ) -> Result<Vec<Vec<u8>>> {
        let deadline = Instant::now() + patience;
        let mut packets = Vec::new();
        let mut buffer = vec![0; PACKET_MAX];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut ready = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
            let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            if poll(&mut ready, left)? == 0 {
                bail!(
                    "{} did not send what was looked for: {packets:?}",
                    self.name
                );
            }
            let length = (&self.file).read(&mut buffer)?;
            let packet = buffer[..length].to_vec();
            let is_last = is_last(&packet);
            packets.push(packet);
            if is_last {
                return Ok(packets);
            }
        }
    }
}

fn open(name: &str, carries: Carries) -> Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/net/tun")?;
    let kind = match carries {
        Carries::Packets => libc::IFF_TUN,
        Carries::Frames => libc::IFF_TAP,
    };
    // SAFETY: zeroes are a valid value of a structure of numbers and bytes.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.as_bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = i16::try_from(kind | libc::IFF_NO_PI)?;
    // SAFETY: the call reads the structure that it is given.
    unsafe { set_interface(file.as_raw_fd(), &raw const request) }.context("TUNSETIFF")?;
    Ok(file)
}
