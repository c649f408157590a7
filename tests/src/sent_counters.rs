//! The driver's counters of the frames sent on an interface: how a sender learns what its link lost.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use anyhow::{Context as _, Result};

/// What an interface's driver did with the frames sent on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Frames that the other end fetched.
    pub(crate) delivered: u64,
    /// Frames dropped before the other end, for want of room or because it was down.
    pub(crate) lost: u64,
}

/// The counters of one interface.
#[derive(Debug)]
pub(crate) struct SentCounters {
    /// /proc/net/dev of the interface's namespace.
    file: File,
    interface: String,
}

impl SentCounters {
    /// Opens those of an interface in the calling thread's namespace.
    pub(crate) fn open(interface: &str) -> Result<Self> {
        let path = "/proc/thread-self/net/dev";
        let file = File::open(path).with_context(|| format!("opening {path}"))?;
        Ok(Self {
            file,
            interface: interface.to_owned(),
        })
    }

    /// What the driver has counted up to now.
    pub(crate) fn read(&self) -> Result<Sent> {
        let mut text = vec![0; 16 << 10];
        let mut length = 0;
        // The kernel gives a file of /proc in pieces.
        loop {
            let read = self.file.read_at(&mut text[length..], length as u64)?;
            if read == 0 {
                break;
            }
            length += read;
            if length == text.len() {
                text.resize(2 * length, 0);
            }
        }
        let text = String::from_utf8_lossy(&text[..length]);
        sent(&text, &self.interface)
            .with_context(|| format!("no counters of {} in {text}", self.interface))
    }
}

/// Reads the line of an interface in /proc/net/dev: its transmitted packets and drops.
fn sent(text: &str, interface: &str) -> Option<Sent> {
    let rest = text
        .lines()
        .find_map(|line| line.trim_start().strip_prefix(interface)?.strip_prefix(':'))?;
    // Eight columns of what was received; then bytes, packets, errors and drops of what was sent.
    let mut columns = rest.split_whitespace().map(str::parse);
    let delivered = columns.nth(9)?.ok()?;
    let lost = columns.nth(1)?.ok()?;
    Some(Sent { delivered, lost })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_an_interface_are_read_from_its_line() {
        let text = "Inter-|   Receive                    |  Transmit\n \
                    face |bytes    packets errs drop fifo frame compressed multicast|bytes packets errs drop\n\
                    peer01:  9  9  9  9  9  9  9  9  9  9  9  9  9  9  9  9\n\
                     peer0:  1  2  3  4  5  6  7  8  100 70  0  3  0  0  0  0\n";
        let expected = Sent {
            delivered: 70,
            lost: 3,
        };
        assert_eq!(sent(text, "peer0"), Some(expected));
        assert_eq!(sent(text, "edge0"), None);
    }
}
