//! Opening the files that a configuration, its data and the state directory name.
//!
//! A path can lead to anything: a pipe without a writer, a device, a sparse file of a terabyte. Opening here never
//! blocks, and the kind and length of a file are checked before its first byte is read. Files of /proc and /sys say no
//! length and are not for here.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::SystemTime;

use nix::libc;

use super::memory_limit::headroom;

/// The most that is read of a text that people write: a configuration, runtime exceptions.
pub const TEXT_BYTES_MAX: u64 = 64 << 20;

/// How many times the length of a file its content takes in memory while it is read.
const USES: u64 = 3;

/// A regular file within its bound.
#[derive(Debug)]
pub struct Input {
    file: File,
    facts: Metadata,
    bytes_max: u64,
}

impl Input {
    /// Opens a file that has at most this many bytes.
    ///
    /// # Errors
    /// Also if it is not a regular file or is larger; then the error says so in words.
    pub fn open(path: &Path, bytes_max: u64) -> io::Result<Self> {
        // Before opening as well: opening some devices starts them.
        check(&fs::metadata(path)?, bytes_max)?;
        let file = File::options()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path)?;
        let facts = file.metadata()?;
        check(&facts, bytes_max)?;
        Ok(Self {
            file,
            facts,
            bytes_max,
        })
    }

    /// When the file was written, if the file system records it.
    #[must_use]
    pub fn modified(&self) -> Option<SystemTime> {
        self.facts.modified().ok()
    }

    /// The user that the file belongs to, and who may do what with it.
    #[must_use]
    pub fn owner_and_mode(&self) -> (u32, u32) {
        (self.facts.uid(), self.facts.mode() & 0o7777)
    }

    /// The bytes, in a buffer of their size.
    ///
    /// # Errors
    /// Also if the file has grown past its bound, or there is no memory for it.
    pub fn read(self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if let Some(left) = headroom()
            && self.facts.len() > left / USES
        {
            return Err(no_room(self.facts.len(), left));
        }
        let length = usize::try_from(self.facts.len()).unwrap_or(usize::MAX);
        // One more, so that the end is found without a larger buffer.
        bytes.try_reserve_exact(length.saturating_add(1))?;
        let mut limited = self.file.take(self.bytes_max.saturating_add(1));
        limited.read_to_end(&mut bytes)?;
        if bytes.len() as u64 > self.bytes_max {
            return Err(too_large(bytes.len() as u64, self.bytes_max));
        }
        Ok(bytes)
    }

    /// Appends the last bytes of the file, at most this many.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read_end(mut self, bytes: u64, to: &mut Vec<u8>) -> io::Result<()> {
        let start = self.facts.len().saturating_sub(bytes);
        self.file.seek(SeekFrom::Start(start))?;
        self.file.take(bytes).read_to_end(to)?;
        Ok(())
    }
}

/// The most bytes that may come from unpacking a file, if there is a memory limit.
#[must_use]
pub fn room() -> u64 {
    headroom().map_or(u64::MAX, |left| left / USES)
}

/// The bytes of a file that has at most this many.
///
/// # Errors
/// As for `Input::open` and `Input::read`.
pub fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    Input::open(path, bytes_max)?.read()
}

/// The text of a file that people write.
///
/// # Errors
/// As for `read`, and if it is not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path, TEXT_BYTES_MAX)?)
        .map_err(|_| io::Error::new(ErrorKind::InvalidData, "it is not UTF-8 text"))
}

/// Opens a directory, to lock it or to write it to the disk.
///
/// # Errors
/// Also if it is not a directory.
pub fn directory(path: &Path) -> io::Result<File> {
    File::options()
        .read(true)
        .custom_flags(libc::O_DIRECTORY)
        .open(path)
}

fn check(facts: &Metadata, bytes_max: u64) -> io::Result<()> {
    let kind = facts.file_type();
    if kind.is_dir() {
        let error = "it is a directory, not a regular file";
        return Err(io::Error::new(ErrorKind::IsADirectory, error));
    }
    if !kind.is_file() {
        let kind = if kind.is_fifo() {
            "a pipe"
        } else if kind.is_socket() {
            "a socket"
        } else {
            "a device"
        };
        let error = format!("it is {kind}, not a regular file");
        return Err(io::Error::new(ErrorKind::InvalidInput, error));
    }
    if facts.len() > bytes_max {
        return Err(too_large(facts.len(), bytes_max));
    }
    Ok(())
}

fn no_room(bytes: u64, left: u64) -> io::Error {
    let error = format!(
        "it has {bytes} bytes, and reading it would take more than the {left} bytes that the memory limit of this \
         process leaves"
    );
    io::Error::new(ErrorKind::OutOfMemory, error)
}

fn too_large(bytes: u64, bytes_max: u64) -> io::Error {
    let error = format!("it has {bytes} bytes, more than {} MiB", bytes_max >> 20);
    io::Error::new(ErrorKind::FileTooLarge, error)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nix::sys::stat::Mode;
    use nix::time::ClockId;

    use super::*;

    #[test]
    fn only_a_regular_file_within_its_bound_is_read() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        // Time on a core: other programs do not add to it, and reading a large file would.
        let used = || Duration::from(ClockId::CLOCK_THREAD_CPUTIME_ID.now().unwrap());
        let begun = used();
        fs::write(path("text"), "text").unwrap();
        assert_eq!(read(&path("text"), 4).unwrap(), b"text");
        assert_eq!(read_text(&path("text")).unwrap(), "text");
        nix::unistd::mkfifo(&path("pipe"), Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        let sparse = File::create(path("sparse")).unwrap();
        sparse.set_len(4 << 30).unwrap();
        for (name, said) in [
            ("pipe", "a pipe, not a regular file"),
            ("socket", "a socket, not a regular file"),
            (".", "a directory, not a regular file"),
            ("sparse", "4294967296 bytes, more than 64 MiB"),
            ("/dev/zero", "a device, not a regular file"),
        ] {
            let error = read_text(&path(name)).unwrap_err().to_string();
            assert!(error.contains(said), "{name}: {error}");
        }
        let error = read(&path("text"), 3).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
        let error = read(&path("absent"), 3).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(used() - begun < Duration::from_secs(1));
    }
}
