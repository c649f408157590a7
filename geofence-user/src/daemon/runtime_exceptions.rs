//! What is kept of exceptions granted by command: the file that has them, and the log of who changed what.
//!
//! Both are in the instance's state directory, for its owner only. The file is written whole and renamed; the log is
//! only ever appended to, one line of JSON a change. Nothing here knows what filters.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User};
use serde_json::{Value, json};

use crate::config::{Config, ExceptionSpec};
use crate::model::failure::{Cause, Failure};
use crate::model::units::UnixSeconds;
use crate::os::instance::{Instance, private_directory};
use crate::os::state::{self, StateError};

/// The files of an instance.
#[derive(Clone, Debug)]
pub struct Grants {
    file: PathBuf,
    log: PathBuf,
}

/// Who asks, as the kernel says.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    pub user: u32,
    pub process: Option<i32>,
}

impl Grants {
    #[must_use]
    pub fn of(instance: &Instance) -> Self {
        let directory = instance.state_directory();
        Self {
            file: directory.join("exceptions.toml"),
            log: directory.join("audit.jsonl"),
        }
    }

    /// The file that has the exceptions.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Adds what was granted to a configuration.
    ///
    /// # Errors
    /// When the file cannot be read, or is broken; file and line are named.
    pub fn add_to(&self, config: Config) -> Result<Config, Failure> {
        self.add_with_text(config).map(|(config, _)| config)
    }

    /// The same, and the text of the file; a configuration that has what is in it stays as it is.
    ///
    /// # Errors
    /// As of `add_to`.
    pub fn add_with_text(&self, config: Config) -> Result<(Config, String), Failure> {
        let name = self.file.display().to_string();
        let text = match fs::read_to_string(&self.file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => {
                let text =
                    format!("cannot read the exceptions granted by command, {name}: {error}");
                return Err(Failure::new(Cause::Configuration, text));
            }
        };
        if config.has_runtime_exceptions_of(&text) {
            return Ok((config, text));
        }
        let config = config
            .with_runtime_exceptions(&text, &name)
            .map_err(|errors| Failure::new(Cause::Configuration, errors.render(false)))?;
        Ok((config, text))
    }

    /// The text of the file, if there is one.
    pub fn text(&self) -> Option<String> {
        fs::read_to_string(&self.file).ok()
    }

    /// Replaces the text of the file.
    ///
    /// # Errors
    /// When it cannot be written; then the one before is still there.
    pub fn write(&self, text: &str) -> Result<(), StateError> {
        state::replace(&self.file, text.as_bytes())
    }

    /// What the end of the log tells of an exception, oldest first.
    #[must_use]
    pub fn changes(&self, id: &str) -> Vec<Value> {
        /// Ten thousand lines, and no more than one wants to wait for.
        const BYTES_MAX: i64 = 4 << 20;
        let mut text = Vec::new();
        let read = File::open(&self.log).and_then(|mut file| {
            // A shorter log is read from its beginning.
            let _ = file.seek(SeekFrom::End(-BYTES_MAX));
            file.read_to_end(&mut text)
        });
        if read.is_err() {
            return Vec::new();
        }
        // Most lines are of others, and not worth taking apart.
        let lines = text.split(|byte| *byte == b'\n');
        let lines = lines.filter_map(|line| str::from_utf8(line).ok());
        let lines = lines.filter(|line| line.contains(id));
        let lines = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["id"] == id).collect()
    }

    /// Makes sure that a change can be put on record.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub fn open_log(&self) -> Result<Log, StateError> {
        private_directory(self.log.parent().unwrap_or(Path::new("/")))?;
        let file = File::options()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.log)
            .map_err(|cause| StateError::File {
                doing: "opening",
                path: self.log.display().to_string(),
                cause,
            })?;
        Ok(Log {
            file,
            path: self.log.clone(),
        })
    }
}

/// The log of changes, open.
#[derive(Debug)]
pub struct Log {
    file: File,
    path: PathBuf,
}

/// A change as the log tells of it.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    pub time: UnixSeconds,
    pub caller: Caller,
    /// The words of the command line.
    pub verb: &'static str,
    pub id: &'a str,
    /// The exception in full, as it is after the change, or was before it was removed.
    pub exception: Option<&'a ExceptionSpec>,
    /// Why it was changed, where that is not the exception's own reason.
    pub reason: Option<&'a str>,
}

impl Log {
    /// Appends a line; it is on the disk when this returns.
    ///
    /// # Errors
    /// When that is not so.
    pub fn append(
        &mut self,
        entry: &Entry<'_>,
        result: &str,
        error: Option<&str>,
    ) -> Result<(), StateError> {
        let mut line = entry.to_json(result, error).to_string();
        line.push('\n');
        // Half a line, as a full disk leaves one, must not take the next along.
        let mut last = [b'\n'];
        let is_whole = self
            .file
            .seek(SeekFrom::End(-1))
            .and_then(|_| self.file.read_exact(&mut last));
        if is_whole.is_ok() && last != [b'\n'] {
            line.insert(0, '\n');
        }
        self.file
            .write_all(line.as_bytes())
            .and_then(|()| self.file.sync_data())
            .map_err(|cause| StateError::File {
                doing: "writing",
                path: self.path.display().to_string(),
                cause,
            })
    }
}

impl Entry<'_> {
    fn to_json(&self, result: &str, error: Option<&str>) -> Value {
        let exception = self.exception;
        json!({
            "time": self.time.to_string(),
            "user": name_of(self.caller.user),
            "uid": self.caller.user,
            "login": self.caller.login().map(name_of),
            "pid": self.caller.process,
            "verb": self.verb,
            "id": self.id,
            "exception": exception,
            "owner": exception.map(|one| &one.owner),
            "reason": self.reason.or(exception.map(|one| one.reason.as_str())),
            "result": result,
            "error": error,
        })
    }
}

impl Caller {
    /// The user's name.
    #[must_use]
    pub fn name(self) -> String {
        name_of(self.user)
    }

    /// The user who logged in, whoever the process has become since; the kernel keeps it where sessions are audited.
    fn login(self) -> Option<u32> {
        let text = fs::read_to_string(format!("/proc/{}/loginuid", self.process?)).ok()?;
        text.trim().parse().ok().filter(|user| *user != u32::MAX)
    }
}

fn name_of(user: u32) -> String {
    let known = User::from_uid(Uid::from_raw(user)).ok().flatten();
    known.map_or_else(|| user.to_string(), |known| known.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(place: &Path) -> Grants {
        Grants {
            file: place.join("state/exceptions.toml"),
            log: place.join("state/audit.jsonl"),
        }
    }

    fn entry(id: &str) -> Entry<'_> {
        Entry {
            time: UnixSeconds(1_800_000_000),
            caller: Caller {
                user: 0,
                process: None,
            },
            verb: "exception remove",
            id,
            exception: None,
            reason: Some("moved\nout"),
        }
    }

    #[test]
    fn the_log_has_a_line_for_each_change_and_tells_of_one() {
        let place = tempfile::tempdir().unwrap();
        let grants = grants(place.path());
        assert!(grants.changes("x-1").is_empty());
        for (id, error) in [("x-1", None), ("x-2", Some("no")), ("x-1", None)] {
            let mut log = grants.open_log().unwrap();
            log.append(&entry(id), "done", error).unwrap();
        }
        let text = fs::read_to_string(&grants.log).unwrap();
        assert_eq!(text.lines().count(), 3, "{text}");
        // Half a line hides no other.
        fs::write(&grants.log, text + "{\"id\":\"x-1").unwrap();
        let mut log = grants.open_log().unwrap();
        log.append(&entry("x-3"), "done", None).unwrap();
        assert_eq!(grants.changes("x-3").len(), 1);
        let changes = grants.changes("x-1");
        assert_eq!(changes.len(), 2);
        assert_eq!(changes[0]["time"], "2027-01-15T08:00:00Z");
        assert_eq!(changes[0]["user"], "root");
        assert_eq!(changes[0]["reason"], "moved\nout");
        assert_eq!(grants.changes("x-2")[0]["error"], "no");
    }

    #[test]
    fn no_file_is_no_exception_and_one_that_cannot_be_read_is_an_error() {
        let place = tempfile::tempdir().unwrap();
        let grants = grants(place.path());
        let read = grants.add_to(Config::default()).unwrap();
        assert_eq!(
            (read.policy, read.runtime.list),
            (Config::default().policy, vec![])
        );
        fs::create_dir_all(grants.file()).unwrap();
        let failure = grants.add_to(Config::default()).unwrap_err();
        assert!(failure.text.contains("exceptions.toml"), "{failure}");
        fs::remove_dir(grants.file()).unwrap();
        grants.write("id = 1\n").unwrap();
        let failure = grants.add_to(Config::default()).unwrap_err();
        assert!(failure.text.contains("exceptions.toml:1:1"), "{failure}");
    }
}
