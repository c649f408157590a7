//! Reports to the service manager (sd_notify(3)): that the filter is in place, reloads, and a line of state. Units
//! ordered after the service wait for the first, the network first of all.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use nix::time::{ClockId, clock_gettime};

/// Reports readiness and a line for `systemctl status` to the socket in `NOTIFY_SOCKET`; does nothing if the variable
/// is not set.
pub fn ready(status: &str) -> io::Result<()> {
    report(&format!("READY=1\nSTATUS={status}"))
}

/// Whether a service manager listens.
#[must_use]
pub fn is_wanted() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some_and(|socket| !socket.is_empty())
}

/// Reports a line for `systemctl status`.
pub fn status(status: &str) -> io::Result<()> {
    report(&format!("STATUS={status}"))
}

/// Reports the begin of a reload. Its end is reported by `ready`, whatever the outcome.
pub fn reloading() -> io::Result<()> {
    // The service manager tells by the time which of several reloads has ended.
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    let micros = i128::from(now.tv_sec()) * 1_000_000 + i128::from(now.tv_nsec()) / 1_000;
    report(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"))
}

/// Reports that this process ends.
pub fn stopping(status: &str) -> io::Result<()> {
    report(&format!("STOPPING=1\nSTATUS={status}"))
}

/// Reports that this process is alive, if the service manager watches it (`WatchdogSec=`).
pub fn watchdog() -> io::Result<()> {
    let is_watched = std::env::var_os("WATCHDOG_USEC").is_some();
    let process = std::env::var("WATCHDOG_PID");
    let is_this = process.map_or(true, |process| process == std::process::id().to_string());
    if is_watched && is_this {
        report("WATCHDOG=1")
    } else {
        Ok(())
    }
}

fn report(state: &str) -> io::Result<()> {
    match std::env::var_os("NOTIFY_SOCKET") {
        Some(socket) if !socket.is_empty() => send(&socket, state.as_bytes()),
        _ => Ok(()),
    }
}

fn send(socket: &OsStr, state: &[u8]) -> io::Result<()> {
    // An address that begins with @ is in the abstract namespace.
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        path => SocketAddr::from_pathname(OsStr::from_bytes(path))?,
    };
    UnixDatagram::unbound()?.send_to_addr(state, &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listening_socket_receives_the_state() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str(), b"READY=1").unwrap();
        let mut received = [0; 16];
        let length = manager.recv(&mut received).unwrap();
        assert_eq!(&received[..length], b"READY=1");
        assert!(send(place.path().join("absent").as_os_str(), b"READY=1").is_err());
    }
}
