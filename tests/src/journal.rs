//! A journal of a test's own, in the place of that of systemd: what a program logs there, by field.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

/// Puts the journal in its place, in a mount namespace, names standard error as a stream to it, and runs a program.
const SCRIPT: &str = "mkdir -p /run/systemd && mount --bind \"$0\" /run/systemd && \
                      JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec \"$@\"";

/// The fields of an entry.
pub type Entry = BTreeMap<String, String>;

/// The socket that takes entries, and the directory that takes the place of /run/systemd.
#[derive(Debug)]
pub struct Journal {
    socket: UnixDatagram,
    place: TempDir,
}

impl Journal {
    pub fn new() -> Result<Self> {
        let place = tempfile::tempdir()?;
        let directory = place.path().join("journal");
        std::fs::create_dir(&directory)?;
        let socket = UnixDatagram::bind(directory.join("socket"))?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, place })
    }

    /// The words of a command that stand before a program for it to log here.
    #[must_use]
    pub fn words(&self) -> Vec<OsString> {
        let words = ["unshare", "--mount", "sh", "-c", SCRIPT];
        let mut words: Vec<_> = words.into_iter().map(OsString::from).collect();
        words.push(self.place.path().into());
        words
    }

    /// The entries that have come since the last call.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let mut bytes = vec![0; 1 << 16];
        loop {
            match self.socket.recv(&mut bytes) {
                // An empty message asks whether there is a journal.
                Ok(0) => {}
                Ok(length) => {
                    let entry = &bytes[..length];
                    let fields = fields(entry);
                    entries.push(fields.with_context(|| entry.escape_ascii().to_string())?);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(entries),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Reads an entry in the journal's own form: `NAME=value`, or a name, the length of the value in eight bytes, and the
/// value.
fn fields(mut entry: &[u8]) -> Option<Entry> {
    let mut fields = Entry::new();
    while !entry.is_empty() {
        let end = entry.iter().position(|byte| *byte == b'\n')?;
        let (line, rest) = (&entry[..end], &entry[end + 1..]);
        let (name, value) = match line.iter().position(|byte| *byte == b'=') {
            Some(sign) => {
                entry = rest;
                (&line[..sign], &line[sign + 1..])
            }
            None => {
                let (length, rest) = rest.split_first_chunk()?;
                let (value, rest) = rest.split_at_checked(u64::from_le_bytes(*length) as usize)?;
                entry = rest.strip_prefix(b"\n")?;
                (line, value)
            }
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        fields.insert(text(name), text(value));
    }
    Some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_both_forms_are_read() {
        let entry = b"MESSAGE\n\x05\0\0\0\0\0\0\0a\nb=c\nPRIORITY=3\n";
        let read = fields(entry).unwrap();
        assert_eq!(
            (read["MESSAGE"].as_str(), read["PRIORITY"].as_str()),
            ("a\nb=c", "3")
        );
        assert_eq!(fields(b"MESSAGE\n\x05\0\0\0\0\0\0\0a\n"), None, "cut off");
    }
}
