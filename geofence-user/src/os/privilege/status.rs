//! The privileges that the process has now, as the kernel reports them for all of its threads.

use std::fs;
use std::io;

use rustix::thread::CapabilitySet;
use serde_json::{Value, json};

use super::capabilities::names;
use super::retained::DroppedPrivileges;

/// The capabilities that any thread has, and the restrictions that all threads have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrivilegeStatus {
    capabilities: CapabilitySet,
    no_new_privileges: bool,
    calls_filtered: bool,
}

impl PrivilegeStatus {
    /// Reads the status of every thread.
    pub fn read() -> io::Result<Self> {
        let mut status = Self {
            capabilities: CapabilitySet::empty(),
            no_new_privileges: true,
            calls_filtered: true,
        };
        for thread in fs::read_dir("/proc/self/task")? {
            match fs::read_to_string(thread?.path().join("status")) {
                Ok(text) => status.add(&text),
                // The thread has ended meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(status)
    }

    /// Adds a thread by its `/proc/PID/task/TID/status`.
    fn add(&mut self, status: &str) {
        let value = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            line.map_or("", |value| value.trim_start_matches(':').trim())
        };
        // A thread can make a permitted capability effective at any time.
        let permitted = u64::from_str_radix(value("CapPrm"), 16).unwrap_or(u64::MAX);
        self.capabilities |= CapabilitySet::from_bits_retain(permitted);
        self.no_new_privileges &= value("NoNewPrivs") == "1";
        self.calls_filtered &= value("Seccomp") == "2";
    }

    /// For `geofence status`.
    #[must_use]
    pub fn to_json(self, dropped: &DroppedPrivileges) -> Value {
        let kept = dropped.retained.iter().map(
            |one| json!({ "capability": names(one.capability).join(", "), "reason": one.reason }),
        );
        json!({
            "capabilities": names(self.capabilities),
            "kept": kept.collect::<Vec<_>>(),
            "no_new_privileges": self.no_new_privileges,
            "system_calls_filtered": self.calls_filtered,
            "writing_confined": dropped.confined,
        })
    }

    /// For the log.
    pub(super) fn sentence(self, dropped: &DroppedPrivileges) -> String {
        sentence(&self.to_json(dropped))
    }
}

/// The JSON of a status, in one line.
#[must_use]
pub fn sentence(privilege: &Value) -> String {
    let list = |key: &str| {
        let items = privilege[key].as_array().into_iter().flatten();
        items
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let capabilities = match list("capabilities") {
        none if none.is_empty() => "no capability".to_owned(),
        some => some,
    };
    let whether = |key: &str, yes: &'static str, no: &'static str| {
        if privilege[key] == true { yes } else { no }
    };
    [
        capabilities.as_str(),
        whether(
            "no_new_privileges",
            "no new privileges",
            "NEW PRIVILEGES POSSIBLE",
        ),
        whether(
            "system_calls_filtered",
            "system calls filtered",
            "SYSTEM CALLS NOT FILTERED",
        ),
        whether(
            "writing_confined",
            "writing confined",
            "WRITING NOT CONFINED",
        ),
    ]
    .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_capabilities_of_one_thread_count_for_all() {
        let thread = |caps: &str, no_new: u8, seccomp: u8| {
            format!(
                "Name:\tx\nCapPrm:\t{caps}\nCapEff:\t{caps}\nNoNewPrivs:\t{no_new}\nSeccomp:\t{seccomp}\n"
            )
        };
        let nothing = PrivilegeStatus {
            capabilities: CapabilitySet::empty(),
            no_new_privileges: true,
            calls_filtered: true,
        };
        let mut status = nothing;
        status.add(&thread("0000000000000000", 1, 2));
        assert_eq!(status, nothing);
        status.add(&thread("0000000000001000", 0, 0));
        let dropped = DroppedPrivileges {
            retained: Vec::new(),
            confined: true,
        };
        assert_eq!(
            status.sentence(&dropped),
            "CAP_NET_ADMIN, NEW PRIVILEGES POSSIBLE, SYSTEM CALLS NOT FILTERED, writing confined"
        );
        assert_eq!(
            nothing.sentence(&dropped),
            "no capability, no new privileges, system calls filtered, writing confined"
        );
    }

    #[test]
    fn an_unreadable_status_counts_as_every_capability() {
        let mut status = PrivilegeStatus {
            capabilities: CapabilitySet::empty(),
            no_new_privileges: true,
            calls_filtered: true,
        };
        status.add("");
        assert_eq!(status.capabilities.bits(), u64::MAX);
        assert!(!status.no_new_privileges && !status.calls_filtered);
    }
}
