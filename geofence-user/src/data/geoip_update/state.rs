//! What is known about a database file that is kept current: where it came from, and how the last try went.
//!
//! ```text
//! /var/lib/NAME/geoip/FILE-HASH.json    one for each file
//! ```

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::shortfall::{Part, Shortfall};
use crate::model::units::UnixSeconds;
use crate::os::instance::private_directory;
use crate::os::{input, replace};

const STATE_BYTES_MAX: u64 = 64 << 10;

/// The state of a database file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FileState {
    /// The URL or file that the database came from.
    pub source: String,
    /// What the server recognises it by.
    pub etag: Option<String>,
    pub last_modified: Option<String>,
    /// The SHA-256 that the vendor gives for what it sends.
    pub vendor_sha256: Option<String>,
    /// The SHA-256 of the file that was put in place.
    pub file_sha256: String,
    /// When its source last gave or confirmed it.
    pub confirmed: Option<UnixSeconds>,
    /// Why the last try failed; nothing if it succeeded.
    pub refused: Option<String>,
    /// When a try last failed.
    pub failed: Option<UnixSeconds>,
    /// Until when the server asked to be left alone.
    pub retry: Option<UnixSeconds>,
}

impl FileState {
    /// The same after a try that failed.
    #[must_use]
    pub fn after_failure(self, why: &str, now: UnixSeconds, retry: Option<UnixSeconds>) -> Self {
        Self {
            refused: Some(why.to_owned()),
            failed: Some(now),
            retry,
            ..self
        }
    }

    /// The same after its source confirmed the file.
    #[must_use]
    pub fn after_confirmation(self, now: UnixSeconds) -> Self {
        Self {
            confirmed: Some(now),
            refused: None,
            retry: None,
            ..self
        }
    }

    /// What is missing of a database: its last update, if that failed.
    #[must_use]
    pub fn shortfall(&self, file: &str) -> Option<Shortfall> {
        let why = self.refused.as_ref()?;
        let text = format!(
            "the last update of {file} failed, and the file before it stays in use:\n{why}"
        );
        let shortfall = Shortfall::now(Part::DatabaseUpdate, file, text);
        Some(Shortfall {
            since: self.failed.unwrap_or(shortfall.since),
            ..shortfall
        })
    }
}

/// Where the state of a database file is kept.
#[derive(Clone, Debug)]
pub struct StateFile(PathBuf);

impl StateFile {
    /// The state of a database below the state directory of an instance.
    #[must_use]
    pub fn of(state: &Path, database: &Path) -> Self {
        let name = database.file_name().unwrap_or_default().to_string_lossy();
        let hash = crc32fast::hash(database.as_os_str().as_encoded_bytes());
        Self(state.join("geoip").join(format!("{name}-{hash:08x}.json")))
    }

    /// The state; empty if there is none, or none that can be read.
    #[must_use]
    pub fn load(&self) -> FileState {
        let bytes = input::read(&self.0, STATE_BYTES_MAX).ok();
        let state = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        state.unwrap_or_default()
    }

    /// Replaces the state.
    ///
    /// # Errors
    /// In words, when it cannot be written.
    pub fn save(&self, state: &FileState) -> Result<(), String> {
        let directory = self.0.parent().unwrap_or(Path::new("/"));
        let failed = |error: &dyn std::fmt::Display| {
            format!(
                "cannot write {}: {error}; run this as root",
                self.0.display()
            )
        };
        let above = directory.parent().unwrap_or(Path::new("/"));
        for directory in [above, directory] {
            private_directory(directory).map_err(|error| failed(&error))?;
        }
        let bytes = serde_json::to_vec(state).unwrap_or_default();
        let written: io::Result<()> = replace::replace(&self.0, &[&bytes]);
        written.map_err(|error| failed(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_success_and_last_failure_outlive_each_other() {
        let failed = FileState {
            confirmed: Some(UnixSeconds(1)),
            ..FileState::default()
        }
        .after_failure("no route", UnixSeconds(2), Some(UnixSeconds(9)));
        assert_eq!(failed.confirmed, Some(UnixSeconds(1)));
        assert_eq!(
            (failed.failed, failed.retry),
            (Some(UnixSeconds(2)), Some(UnixSeconds(9)))
        );
        let confirmed = failed.after_confirmation(UnixSeconds(3));
        let times = (confirmed.confirmed, confirmed.failed, confirmed.retry);
        assert_eq!(times, (Some(UnixSeconds(3)), Some(UnixSeconds(2)), None));
        assert_eq!(confirmed.refused, None);
    }

    #[test]
    fn state_is_read_back_and_a_damaged_one_is_empty() {
        let place = tempfile::tempdir().unwrap();
        let file = StateFile::of(place.path(), Path::new("/a/country.mmdb"));
        let other = StateFile::of(place.path(), Path::new("/b/country.mmdb"));
        assert_eq!(file.load(), FileState::default());
        let state = FileState {
            source: "https://data.example".to_owned(),
            confirmed: Some(UnixSeconds(7)),
            ..FileState::default()
        };
        file.save(&state).unwrap();
        assert_eq!((file.load(), other.load()), (state, FileState::default()));
        std::fs::write(&file.0, "{").unwrap();
        assert_eq!(file.load(), FileState::default());
    }
}
