//! What the process may do at this moment, as the kernel says: all of its threads together.

use std::fs;
use std::io;

use rustix::thread::CapabilitySet;
use serde_json::{Value, json};

use super::DroppedPrivileges;
use super::capabilities::names;

/// What any thread may do; of what is forbidden, what is forbidden to all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrivilegeStatus {
    capabilities: CapabilitySet,
    no_new_privileges: bool,
    calls_filtered: bool,
}

impl PrivilegeStatus {
    /// Asks the kernel about every thread.
    pub fn read() -> io::Result<Self> {
        let mut standing = Self {
            capabilities: CapabilitySet::empty(),
            no_new_privileges: true,
            calls_filtered: true,
        };
        for thread in fs::read_dir("/proc/self/task")? {
            match fs::read_to_string(thread?.path().join("status")) {
                Ok(text) => standing.add(&text),
                // It has ended meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(standing)
    }

    /// Adds a thread by its `/proc/PID/task/TID/status`.
    fn add(&mut self, status: &str) {
        let value = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            line.map_or("", |value| value.trim_start_matches(':').trim())
        };
        // What is permitted can be made effective at any time.
        let permitted = u64::from_str_radix(value("CapPrm"), 16).unwrap_or(u64::MAX);
        self.capabilities |= CapabilitySet::from_bits_retain(permitted);
        self.no_new_privileges &= value("NoNewPrivs") == "1";
        self.calls_filtered &= value("Seccomp") == "2";
    }

    /// For `geofence status`.
    #[must_use]
    pub fn to_json(self, dropped: &DroppedPrivileges) -> Value {
        let kept = dropped.kept.iter().map(
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

/// What a process may do, in one line.
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
    fn one_thread_with_more_counts_for_all() {
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
        let mut standing = nothing;
        standing.add(&thread("0000000000000000", 1, 2));
        assert_eq!(standing, nothing);
        standing.add(&thread("0000000000001000", 0, 0));
        let dropped = DroppedPrivileges {
            kept: Vec::new(),
            confined: true,
        };
        assert_eq!(
            standing.sentence(&dropped),
            "CAP_NET_ADMIN, NEW PRIVILEGES POSSIBLE, SYSTEM CALLS NOT FILTERED, writing confined"
        );
        assert_eq!(
            nothing.sentence(&dropped),
            "no capability, no new privileges, system calls filtered, writing confined"
        );
    }

    #[test]
    fn what_cannot_be_read_is_taken_for_everything() {
        let mut standing = PrivilegeStatus {
            capabilities: CapabilitySet::empty(),
            no_new_privileges: true,
            calls_filtered: true,
        };
        standing.add("");
        assert_eq!(standing.capabilities.bits(), u64::MAX);
        assert!(!standing.no_new_privileges && !standing.calls_filtered);
    }
}
