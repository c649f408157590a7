//! The audit log: who changed which runtime exception, one line of JSON a change.
//!
//! The log is in the instance's state directory, for its owner only. Lines are only appended, except that those of
//! changes that fail afterwards are removed before the refusal is recorded. A power cut between the log and the file
//! leaves lines about changes, of one request at most, that were not made.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::unistd::{Uid, User};
use serde_json::{Value, json};

use crate::config::ExceptionSpec;
use crate::model::units::UnixSeconds;
use crate::os::input::Input;
use crate::os::instance::private_directory;
use crate::os::state::StateError;

/// The process that asks, as the kernel identifies it.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    pub user: u32,
    pub process: Option<i32>,
}

impl Caller {
    /// The daemon itself.
    pub(super) fn this_process() -> Self {
        Self {
            user: Uid::effective().as_raw(),
            process: i32::try_from(std::process::id()).ok(),
        }
    }
}

/// One change, as the log records it.
#[derive(Clone, Debug)]
pub(super) struct AuditEntry<'a> {
    pub(super) time: UnixSeconds,
    pub(super) caller: Caller,
    /// The words of the command line.
    pub(super) verb: &'static str,
    pub(super) id: &'a str,
    /// The exception in full: after the change, or before it was removed.
    pub(super) exception: Option<&'a ExceptionSpec>,
    /// Why it was changed, if that is not the exception's own reason.
    pub(super) reason: Option<&'a str>,
    pub(super) result: &'static str,
    pub(super) error: Option<&'a str>,
}

/// Appends a line for each entry; all are on the disk when this returns. Returns where the first begins.
pub(super) fn append(path: &Path, entries: &[AuditEntry<'_>]) -> Result<u64, StateError> {
    let failed = |doing| {
        move |cause| StateError::File {
            doing,
            path: path.display().to_string(),
            cause,
        }
    };
    private_directory(path.parent().unwrap_or(Path::new("/")))?;
    let mut file = File::options()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map_err(failed("opening"))?;
    let end = whole_lines(&mut file).map_err(failed("reading"))?;
    let lines = entries.iter().map(|entry| format!("{}\n", entry.to_json()));
    let lines: String = lines.collect();
    let written = file
        .set_len(end)
        .and_then(|()| file.write_all(lines.as_bytes()))
        .and_then(|()| file.sync_data());
    written.map(|()| end).map_err(|error| {
        // A full disk takes half a line. What is not whole is removed; the next record removes it otherwise.
        let _ = file.set_len(end);
        failed("writing")(error)
    })
}

/// Removes the last lines, the first of which begins here: what they record did not come true.
pub(super) fn retract(path: &Path, start: u64) -> Result<(), StateError> {
    let file = File::options().append(true).open(path);
    let removed = file.and_then(|file| file.set_len(start).and_then(|()| file.sync_data()));
    removed.map_err(|cause| StateError::File {
        doing: "correcting",
        path: path.display().to_string(),
        cause,
    })
}

/// The length of the log without half a line at its end, which a power cut leaves.
fn whole_lines(file: &mut File) -> io::Result<u64> {
    /// No line is longer.
    const LINE_BYTES_MAX: u64 = 1 << 20;
    let length = file.metadata()?.len();
    let start = length.saturating_sub(LINE_BYTES_MAX);
    file.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    file.take(LINE_BYTES_MAX).read_to_end(&mut tail)?;
    let torn = tail
        .rsplit(|byte| *byte == b'\n')
        .next()
        .map_or(0, <[u8]>::len);
    Ok(length.saturating_sub(torn as u64))
}

/// The changes of one exception at the end of the log, oldest first.
pub(super) fn changes(path: &Path, id: &str) -> Vec<Value> {
    /// Some ten thousand lines, which are read in a moment.
    const BYTES_MAX: u64 = 4 << 20;
    let mut text = Vec::new();
    let read = Input::open(path, u64::MAX).and_then(|file| file.read_end(BYTES_MAX, &mut text));
    if read.is_err() {
        return Vec::new();
    }
    // Most lines are about other exceptions, and need not be parsed.
    let lines = text.split(|byte| *byte == b'\n');
    let lines = lines.filter_map(|line| str::from_utf8(line).ok());
    let lines = lines.filter(|line| line.contains(id));
    let lines = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["id"] == id).collect()
}

impl AuditEntry<'_> {
    fn to_json(&self) -> Value {
        let exception = self.exception;
        json!({
            "time": self.time.to_string(),
            "user": self.caller.name(),
            "uid": self.caller.user,
            "login": self.caller.login().map(user_name),
            "pid": self.caller.process,
            "verb": self.verb,
            "id": self.id,
            "exception": exception,
            "owner": exception.map(|one| &one.owner),
            "reason": self.reason.or(exception.map(|one| one.reason.as_str())),
            "result": self.result,
            "error": self.error,
        })
    }
}

impl Caller {
    /// The user's name.
    #[must_use]
    pub fn name(self) -> String {
        user_name(self.user)
    }

    /// The user who logged in, also after sudo; the kernel stores it on machines that audit sessions.
    fn login(self) -> Option<u32> {
        let text = fs::read_to_string(format!("/proc/{}/loginuid", self.process?)).ok()?;
        text.trim().parse().ok().filter(|user| *user != u32::MAX)
    }
}

fn user_name(user: u32) -> String {
    let known = User::from_uid(Uid::from_raw(user)).ok().flatten();
    known.map_or_else(|| user.to_string(), |known| known.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry<'a>(id: &'a str, error: Option<&'a str>) -> AuditEntry<'a> {
        AuditEntry {
            time: UnixSeconds(1_800_000_000),
            caller: Caller {
                user: 0,
                process: None,
            },
            verb: "exception remove",
            id,
            exception: None,
            reason: Some("moved\nout"),
            result: "done",
            error,
        }
    }

    #[test]
    fn log_has_a_line_for_each_change_and_finds_those_of_one_exception() {
        let place = tempfile::tempdir().unwrap();
        let log = place.path().join("state/audit.jsonl");
        assert!(changes(&log, "x-1").is_empty());
        for (id, error) in [("x-1", None), ("x-2", Some("no")), ("x-1", None)] {
            append(&log, &[entry(id, error)]).unwrap();
        }
        let text = fs::read_to_string(&log).unwrap();
        assert_eq!(text.lines().count(), 3, "{text}");
        // Half a line hides no other.
        fs::write(&log, text + "{\"id\":\"x-1").unwrap();
        append(&log, &[entry("x-3", None)]).unwrap();
        assert_eq!(changes(&log, "x-3").len(), 1);
        let text = fs::read_to_string(&log).unwrap();
        let is_whole = |line: &str| serde_json::from_str::<Value>(line).is_ok();
        assert!(text.lines().all(is_whole), "{text}");
        let start = append(&log, &[entry("x-4", None), entry("x-5", None)]).unwrap();
        assert_eq!(changes(&log, "x-5").len(), 1);
        retract(&log, start).unwrap();
        assert!(changes(&log, "x-4").is_empty() && changes(&log, "x-5").is_empty());
        let of_one = changes(&log, "x-1");
        assert_eq!(of_one.len(), 2);
        assert_eq!(of_one[0]["time"], "2027-01-15T08:00:00Z");
        assert_eq!(of_one[0]["user"], "root");
        assert_eq!(of_one[0]["reason"], "moved\nout");
        assert_eq!(changes(&log, "x-2")[0]["error"], "no");
    }
}
