//! The last good text of every list, below the state directory of an instance.
//!
//! ```text
//! /var/lib/NAME/lists/LIST.kept    what is known about the text, in one line of JSON, and the text
//! /var/lib/NAME/lists/LIST.json    when its source was last asked, and why its answer was refused, if it was
//! ```
//!
//! Both are written whole under another name and renamed. A kept text is known to be whole by its checksum; a damaged
//! one is none.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use super::LIST_BYTES_MAX;
use crate::os::instance::Instance;

/// What is kept of lists.
#[derive(Clone, Debug)]
pub struct Store {
    directory: PathBuf,
}

/// What is known about a kept text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Of this layout.
    pub version: u32,
    /// The file or URL it came from, and the word for its format.
    pub source: String,
    pub format: String,
    /// When it came, seconds since 1970.
    pub since: u64,
    pub entries: usize,
    /// Somebody said that it is good, whatever the guard thinks.
    pub forced: bool,
    /// What the server said by which to know it again.
    pub etag: Option<String>,
    pub last_modified: Option<String>,
    pub length: usize,
    pub checksum: u32,
}

/// A text with what is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub head: Head,
    pub text: Vec<u8>,
}

/// How the last look at a list's source went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// When its source last gave or confirmed what is kept, seconds since 1970.
    pub confirmed: Option<u64>,
    pub refused: Option<Refused>,
}

/// Why what a source gives is not used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Seconds since 1970.
    pub when: u64,
    pub why: String,
}

/// Why something was not kept, or not found.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{doing} {path}: {cause}{}", if cause.kind() == ErrorKind::PermissionDenied {
        "; run this as the user geofence runs as, root mostly"
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
}

/// The version of the layout.
const VERSION: u32 = 1;
/// No head is longer.
const HEAD_BYTES_MAX: u64 = 64 << 10;

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

    /// Where the text of a list is kept.
    #[must_use]
    pub fn path(&self, list: &str) -> PathBuf {
        self.directory.join(format!("{list}.kept"))
    }

    fn status_path(&self, list: &str) -> PathBuf {
        self.directory.join(format!("{list}.json"))
    }

    /// Makes this process the only one that writes, for as long as it holds what this returns.
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
        let directory = File::open(&self.directory).map_err(failed)?;
        Flock::lock(directory, FlockArg::LockExclusive).map_err(|(_, errno)| failed(errno.into()))
    }

    /// The text that was kept last, if there is one.
    pub fn load(&self, list: &str) -> Result<Option<Kept>, StoreError> {
        let path = self.path(list);
        let Some(bytes) = read(&path, LIST_BYTES_MAX + HEAD_BYTES_MAX)? else {
            return Ok(None);
        };
        let damaged = || StoreError::Damaged {
            path: path.display().to_string(),
        };
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (head, text) = bytes.split_at(end.ok_or_else(damaged)?);
        let text = text.get(1..).unwrap_or_default().to_vec();
        let head: Head = serde_json::from_slice(head).map_err(|_| damaged())?;
        if head.version != VERSION
            || head.length != text.len()
            || head.checksum != crc32fast::hash(&text)
        {
            return Err(damaged());
        }
        Ok(Some(Kept { head, text }))
    }

    /// Keeps a text in place of the one before. The head's version, length and checksum are written here.
    pub fn keep(&self, list: &str, mut kept: Kept) -> Result<(), StoreError> {
        kept.head.version = VERSION;
        kept.head.length = kept.text.len();
        kept.head.checksum = crc32fast::hash(&kept.text);
        let mut head = serde_json::to_vec(&kept.head).unwrap_or_default();
        head.push(b'\n');
        self.write(&self.path(list), &[&head, &kept.text])
    }

    /// How the last look went; of a list that was never looked at there is nothing to say.
    pub fn status(&self, list: &str) -> Result<Status, StoreError> {
        let bytes = read(&self.status_path(list), HEAD_BYTES_MAX)?;
        // It is a note: a damaged one says nothing.
        let status = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Ok(status.unwrap_or_default())
    }

    pub fn note(&self, list: &str, status: &Status) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(status).unwrap_or_default();
        self.write(&self.status_path(list), &[&bytes])
    }

    fn write(&self, path: &Path, parts: &[&[u8]]) -> Result<(), StoreError> {
        let failed = |cause| StoreError::File {
            doing: "writing",
            path: path.display().to_string(),
            cause,
        };
        let new = path.with_added_extension("new");
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)
            .map_err(failed)?;
        for part in parts {
            file.write_all(part).map_err(failed)?;
        }
        file.sync_all().map_err(failed)?;
        fs::rename(&new, path).map_err(failed)?;
        // The rename itself must outlive a power cut.
        File::open(&self.directory)
            .and_then(|directory| directory.sync_all())
            .map_err(failed)
    }
}

/// A file's bytes; nothing if there is no file.
fn read(path: &Path, most: u64) -> Result<Option<Vec<u8>>, StoreError> {
    let failed = |cause| StoreError::File {
        doing: "reading",
        path: path.display().to_string(),
        cause,
    };
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed)?,
    };
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).map_err(failed)?;
    Ok(Some(bytes))
}
