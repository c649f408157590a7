//! Names for geofences under test, and sweeping up what they leave in the kernel and on disk.
//!
//! A filter is made to outlive its process, so a test that fails would leave one behind; here it goes with its name.
//! A test that was killed cannot sweep, so the next one does it for every process that is no more.

use std::fs;
use std::path::Path;
use std::process;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

/// Where a geofence keeps what outlives it.
const PLACES: [&str; 3] = ["/sys/fs/bpf/geofence", "/run", "/var/lib"];

const PREFIX: &str = "geofence-test-";

/// A name that no other test has; what is under it, or under names that continue it with a dash, goes with it.
#[derive(Debug)]
pub(crate) struct Instance(String);

impl Instance {
    pub(crate) fn new() -> Self {
        static SWEPT: Once = Once::new();
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        SWEPT.call_once(sweep_the_dead);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self(format!("{PREFIX}{}-{number}", process::id()))
    }

    pub(crate) fn name(&self) -> &str {
        &self.0
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let longer = format!("{}-", self.0);
        remove(|name| name == self.0 || name.starts_with(&longer));
    }
}

fn sweep_the_dead() {
    remove(|name| {
        let process = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next());
        process.is_some_and(|process| !Path::new("/proc").join(process).exists())
    });
}

fn remove(is_meant: impl Fn(&str) -> bool) {
    for place in PLACES {
        let Ok(entries) = fs::read_dir(place) else {
            continue;
        };
        for entry in entries.flatten() {
            if entry.file_name().to_str().is_some_and(&is_meant) {
                // There is no caller to report to; a later test removes what stays.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}
