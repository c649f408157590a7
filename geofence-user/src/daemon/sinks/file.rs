//! Events in a file, one JSON object a line. A file that is large enough gets a number, and another
//! is begun.

use std::fs::{File, OpenOptions, rename};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use super::sink::Sink;

/// A file of events, and those that it replaced.
pub(super) struct EventFile {
    path: PathBuf,
    size_max: u64,
    kept: u32,
    open: Option<(File, u64)>,
}

impl EventFile {
    pub(super) const fn new(path: PathBuf, size_max: u64, kept: u32) -> Self {
        Self {
            path,
            size_max,
            kept,
            open: None,
        }
    }

    /// The path of the file that was renamed so many times.
    fn numbered(&self, number: u32) -> PathBuf {
        match number {
            0 => self.path.clone(),
            number => self.path.with_added_extension(number.to_string()),
        }
    }

    /// Renames the file, and gives each older one the next number.
    fn rotate(&mut self) -> std::io::Result<()> {
        self.open = None;
        for number in (0..self.kept).rev() {
            match rename(self.numbered(number), self.numbered(number + 1)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// The file, with its size.
    fn file(&mut self) -> std::io::Result<&mut (File, u64)> {
        if self.open.is_none() {
            let mut options = OpenOptions::new();
            // It says who talks to whom.
            let file = options
                .create(true)
                .append(true)
                .mode(0o640)
                .open(&self.path)?;
            let size = file.metadata()?.len();
            self.open = Some((file, size));
        }
        self.open
            .as_mut()
            .ok_or_else(|| std::io::Error::from(ErrorKind::NotFound))
    }
}

impl Sink for EventFile {
    fn deliver(&mut self, events: &[Arc<Value>]) -> std::io::Result<()> {
        let text: String = events.iter().map(|event| format!("{event}\n")).collect();
        let size_max = self.size_max;
        // A file that was removed, or renamed by logrotate, is written anew.
        if self.open.is_some() && !self.path.exists() {
            self.open = None;
        }
        let (_, size) = self.file()?;
        if *size > 0 && *size + text.len() as u64 > size_max {
            self.rotate()?;
        }
        let (file, size) = self.file()?;
        let written = file.write_all(text.as_bytes());
        *size += text.len() as u64;
        if written.is_err() {
            self.open = None;
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn full_files_are_renamed_and_the_oldest_goes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events.json");
        // Three lines of eight bytes fit.
        let mut file = EventFile::new(path.clone(), 24, 2);
        for number in 0..10 {
            file.deliver(&[Arc::new(json!({ "n": number }))]).unwrap();
        }
        let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
        assert_eq!(read("events.json"), "{\"n\":9}\n");
        assert_eq!(read("events.json.1"), "{\"n\":6}\n{\"n\":7}\n{\"n\":8}\n");
        assert_eq!(read("events.json.2"), "{\"n\":3}\n{\"n\":4}\n{\"n\":5}\n");
        assert!(!directory.path().join("events.json.3").exists());
        std::fs::remove_file(&path).unwrap();
        file.deliver(&[Arc::new(json!({ "n": 0 }))]).unwrap();
        assert_eq!(read("events.json"), "{\"n\":0}\n", "it was removed");
    }
}
