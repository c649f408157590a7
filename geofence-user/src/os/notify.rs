//! Telling the service manager that the filter is in place (sd_notify(3)): what is ordered behind the service waits for
//! that, the network first of all.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Says so to whoever has asked to be told by `NOTIFY_SOCKET`; to nobody where nobody has.
pub fn ready() -> io::Result<()> {
    match std::env::var_os("NOTIFY_SOCKET") {
        Some(socket) if !socket.is_empty() => tell(&socket, b"READY=1"),
        _ => Ok(()),
    }
}

fn tell(socket: &OsStr, what: &[u8]) -> io::Result<()> {
    // A name that begins with @ is in no directory.
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        path => SocketAddr::from_pathname(OsStr::from_bytes(path))?,
    };
    UnixDatagram::unbound()?.send_to_addr(what, &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_listens_is_told() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        tell(path.as_os_str(), b"READY=1").unwrap();
        let mut said = [0; 16];
        let length = manager.recv(&mut said).unwrap();
        assert_eq!(&said[..length], b"READY=1");
        assert!(tell(place.path().join("nobody").as_os_str(), b"READY=1").is_err());
    }
}
