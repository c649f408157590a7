//! The last good text of every list, below the state directory of an instance.
//!
//! ```text
//! /var/lib/NAME/lists/LIST.kept    a header in one line of JSON, and the text
//! /var/lib/NAME/lists/LIST.json    when its source was last asked, and why its answer was rejected, if it was
//! ```
//!
//! Both are written whole under another name and renamed. A checksum shows whether a stored text is whole.

use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use super::source_file::LIST_BYTES_MAX;
use crate::model::units::UnixSeconds;
use crate::os::input;
use crate::os::instance::Instance;
use crate::os::replace::{remove_unfinished, replace};

/// The directory of stored lists.
#[derive(Clone, Debug)]
pub struct Store {
    directory: PathBuf,
}

/// The facts about a stored text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredHeader {
    /// The version of this layout.
    pub version: u32,
    /// The file or URL it came from, and the word for its format.
    pub source: String,
    pub format: String,
    /// When the source gave it.
    pub since: UnixSeconds,
    pub entries: usize,
    /// Of a text without entries, how many the one before had, or the last that had any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_entries: Option<usize>,
    /// Whether an operator accepted it despite the sanity check.
    pub forced: bool,
    /// What the server recognises it by.
    pub etag: Option<String>,
    pub last_modified: Option<String>,
    /// Where the changes go on that an interface gives, and when it last gave everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synced: Option<UnixSeconds>,
    pub length: usize,
    pub checksum: u32,
}

/// A text with the facts about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredList {
    pub header: StoredHeader,
    pub text: Vec<u8>,
}

/// The result of the last look at a list's source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// When the source last gave or confirmed the stored text.
    pub confirmed: Option<UnixSeconds>,
    pub refused: Option<Rejection>,
    /// Until when the server asked to be left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<UnixSeconds>,
    /// Whether changes were asked for that may have been lost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_asking: bool,
}

/// Why a text is not used, and when its source gave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    pub when: UnixSeconds,
    pub why: String,
}

impl StoredHeader {
    /// The size that the next text is compared with: a list that was emptied is no smaller list.
    pub(super) const fn size(&self) -> usize {
        match self.last_entries {
            Some(last) if self.entries == 0 => last,
            _ => self.entries,
        }
    }
}

impl SourceStatus {
    /// The source gave or confirmed the stored text.
    pub(super) const fn confirmed(when: UnixSeconds) -> Self {
        Self {
            confirmed: Some(when),
            refused: None,
            retry: None,
            is_asking: false,
        }
    }

    /// The source gave something else, or nothing.
    pub(super) fn rejected(self, rejection: Rejection) -> Self {
        Self {
            refused: Some(rejection),
            ..self
        }
    }
}

/// Why a list is not stored, or cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{doing} {path} failed: {cause}{}", if cause.kind() == ErrorKind::PermissionDenied {
        "; run this as the user geofence runs as, usually root"
    } else {
        ""
    })]
    File {
        doing: &'static str,
        path: String,
        cause: io::Error,
    },
    #[error("{path} is damaged; remove it, and fetch the list again with `geofence update`")]
    Damaged { path: String },
    #[error(
        "another process holds the lock of {path} and does not let go; `lsof +D {path}` shows which. Nothing is \
         stored meanwhile"
    )]
    Busy { path: String },
}

/// How often, and after which time, the lock is tried again while another process has it.
const LOCK_TRIES: u32 = 40;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// The version of the layout.
const VERSION: u32 = 1;
/// The longest header.
const HEADER_BYTES_MAX: u64 = 64 << 10;

impl Store {
    #[must_use]
    pub fn of(instance: &Instance) -> Self {
        Self::at(&instance.state_directory())
    }

    /// The store below a state directory.
    #[must_use]
    pub fn at(state: &Path) -> Self {
        Self {
            directory: state.join("lists"),
        }
    }

    /// The file with the text of a list.
    #[must_use]
    pub fn path(&self, list: &str) -> PathBuf {
        self.directory.join(format!("{list}.kept"))
    }

    fn status_path(&self, list: &str) -> PathBuf {
        self.directory.join(format!("{list}.json"))
    }

    /// Makes this process the only one that writes, until the guard is dropped.
    pub fn lock(&self) -> Result<Flock<File>, StoreError> {
        let failed = |cause| StoreError::File {
            doing: "opening",
            path: self.directory.display().to_string(),
            cause,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory)
            .map_err(failed)?;
        let mut directory = input::directory(&self.directory).map_err(failed)?;
        // Another update holds it while it writes. A process that holds it longer must not stop this one.
        for _ in 0..LOCK_TRIES {
            match Flock::lock(directory, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Ok(lock),
                Err((back, Errno::EWOULDBLOCK)) => directory = back,
                Err((_, errno)) => return Err(failed(errno.into())),
            }
            thread::sleep(LOCK_PAUSE);
        }
        Err(StoreError::Busy {
            path: self.directory.display().to_string(),
        })
    }

    /// The stored text, if there is one.
    pub fn load(&self, list: &str) -> Result<Option<StoredList>, StoreError> {
        let path = self.path(list);
        let Some(mut bytes) = read(&path, LIST_BYTES_MAX + HEADER_BYTES_MAX)? else {
            return Ok(None);
        };
        let damaged = || StoreError::Damaged {
            path: path.display().to_string(),
        };
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let end = end.ok_or_else(damaged)?;
        let header = bytes.get(..end).unwrap_or_default();
        let header: StoredHeader = serde_json::from_slice(header).map_err(|_| damaged())?;
        // In place, because a text can be large.
        bytes.drain(..=end);
        let text = bytes;
        if header.version != VERSION
            || header.length != text.len()
            || header.checksum != crc32fast::hash(&text)
        {
            return Err(damaged());
        }
        Ok(Some(StoredList { header, text }))
    }

    /// The stored text, if there is one that is not damaged.
    pub(super) fn load_intact(&self, list: &str) -> Result<Option<StoredList>, StoreError> {
        match self.load(list) {
            Err(StoreError::Damaged { .. }) => Ok(None),
            loaded => loaded,
        }
    }

    /// Replaces the stored text. The version, length and checksum of the header are set here.
    pub fn save(&self, list: &str, mut stored: StoredList) -> Result<(), StoreError> {
        stored.header.version = VERSION;
        stored.header.length = stored.text.len();
        stored.header.checksum = crc32fast::hash(&stored.text);
        let mut header = serde_json::to_vec(&stored.header).unwrap_or_default();
        header.push(b'\n');
        self.write(&self.path(list), &[&header, &stored.text])
    }

    /// The status of a list's source; empty if it was never asked.
    pub fn status(&self, list: &str) -> Result<SourceStatus, StoreError> {
        let bytes = read(&self.status_path(list), HEADER_BYTES_MAX)?;
        // The status is only shown, so a damaged one counts as empty.
        let status = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Ok(status.unwrap_or_default())
    }

    pub fn save_status(&self, list: &str, status: &SourceStatus) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(status).unwrap_or_default();
        self.write(&self.status_path(list), &[&bytes])
    }

    fn write(&self, path: &Path, parts: &[&[u8]]) -> Result<(), StoreError> {
        let failed = |cause| StoreError::File {
            doing: "writing",
            path: path.display().to_string(),
            cause,
        };
        replace(path, parts).map_err(failed)
    }

    /// Removes what earlier processes left half-written.
    pub fn remove_unfinished(&self) {
        // Without a directory there is nothing, and it is not made for this.
        if self.directory.is_dir()
            && let Ok(_lock) = self.lock()
        {
            remove_unfinished(&self.directory);
        }
    }
}

/// The bytes of a file; `None` if there is no file.
fn read(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, StoreError> {
    let failed = |cause| StoreError::File {
        doing: "reading",
        path: path.display().to_string(),
        cause,
    };
    match input::read(path, bytes_max) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        read => read.map(Some).map_err(failed),
    }
}
