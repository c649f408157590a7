//! Opening real connections from a chosen address: what a host of that country would do.
//!
//! The standard library binds listeners and UDP sockets to an address but not a TCP caller, hence this file.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, getsockopt, socket, sockopt,
};

use crate::namespace::Namespace;

/// Connects from an address of the namespace; `None` when no answer came within `patience`.
///
/// A refusal, which is an answer, is an error of kind `ConnectionRefused` within the chain.
pub fn tcp(
    namespace: &Namespace,
    from: IpAddr,
    to: SocketAddr,
    patience: Duration,
) -> Result<Option<TcpStream>> {
    namespace
        .enter(|| dial(from, to, patience))?
        .with_context(|| format!("calling {to} from {from}"))
}

fn dial(from: IpAddr, to: SocketAddr, patience: Duration) -> Result<Option<TcpStream>> {
    let family = if to.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let descriptor = socket(family, SockType::Stream, flags, None).context("opening a socket")?;
    let own = SockaddrStorage::from(SocketAddr::new(from, 0));
    bind(descriptor.as_raw_fd(), &own)
        .context("binding to the address; does the namespace have it?")?;
    match connect(descriptor.as_raw_fd(), &SockaddrStorage::from(to)) {
        Ok(()) | Err(Errno::EINPROGRESS) => {}
        Err(error) => return Err(io::Error::from(error).into()),
    }
    let deadline = Instant::now() + patience;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left.as_millis()).unwrap_or(PollTimeout::MAX);
        match poll(
            &mut [PollFd::new(descriptor.as_fd(), PollFlags::POLLOUT)],
            timeout,
        ) {
            Ok(0) if left.as_millis() == 0 => return Ok(None),
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => break,
            Err(error) => return Err(error).context("waiting for an answer"),
        }
    }
    match getsockopt(&descriptor, sockopt::SocketError).context("asking how the call went")? {
        0 => {}
        error => return Err(io::Error::from_raw_os_error(error).into()),
    }
    let stream = TcpStream::from(descriptor);
    stream
        .set_nonblocking(false)
        .context("making the connection blocking")?;
    Ok(Some(stream))
}
