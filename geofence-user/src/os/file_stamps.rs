//! How files are recognised as changed: by what their metadata says, not by their contents.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Device, inode, length, time of modification and time of change; `None` for a file that does not exist. A file that
/// becomes readable has another time of change only.
type FileStamp = Option<(u64, u64, u64, [i64; 2], [i64; 2])>;

/// The stamps of some files at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileStamps(BTreeMap<PathBuf, FileStamp>);

impl FileStamps {
    #[must_use]
    pub fn of<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Self {
        let paths = paths.into_iter();
        Self(paths.map(|path| (path.clone(), stamp(path))).collect())
    }

    /// The stamps of the same files now.
    #[must_use]
    pub fn now(&self) -> Self {
        Self::of(self.0.keys())
    }

    /// Whether every file exists and was last written more than a second before `now`, in seconds since 1970. A later
    /// write then changes the stamp, although the clocks of file systems advance only every few milliseconds.
    #[must_use]
    pub fn are_settled(&self, now: u64) -> bool {
        self.0.values().all(|stamp| {
            let written = stamp.and_then(|(_, _, _, [seconds, _], _)| u64::try_from(seconds).ok());
            written.is_some_and(|written| written.saturating_add(1) < now)
        })
    }

    /// The files' paths.
    pub fn paths(&self) -> impl Iterator<Item = PathBuf> {
        self.0.keys().cloned()
    }

    /// These stamps and those of other files.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// The names of the files whose stamps differ from those of another moment.
    #[must_use]
    pub fn changed_since(&self, before: &Self) -> Vec<String> {
        let changed = self
            .0
            .iter()
            .filter(|(path, stamp)| before.0.get(*path) != Some(*stamp));
        changed
            .map(|(path, _)| path.display().to_string())
            .collect()
    }
}

fn stamp(path: &Path) -> FileStamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((
        metadata.dev(),
        metadata.ino(),
        metadata.len(),
        [metadata.mtime(), metadata.mtime_nsec()],
        [metadata.ctime(), metadata.ctime_nsec()],
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_differ_after_a_file_is_written_replaced_or_removed() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("one");
        let look = || FileStamps::of([&path]);
        let mut states = vec![look()];
        std::fs::write(&path, "one").unwrap();
        states.push(look());
        std::fs::write(&path, "three").unwrap();
        states.push(look());
        let other = place.path().join("two");
        std::fs::write(&other, "three").unwrap();
        std::fs::rename(&other, &path).unwrap();
        states.push(look());
        for (at, one) in states.iter().enumerate() {
            assert!(states[at + 1..].iter().all(|other| other != one), "{at}");
        }
        assert_eq!(look(), look());
    }
}
