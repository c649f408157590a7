//! What stands between this machine and the filter: facts about the kernel and interfaces, and what follows from
//! them.
//!
//! Only looks. Facts come from netlink and from what the kernel tells everybody in /proc and /sys, because those answer
//! for the network namespace geofence runs in, and without privilege. `rules` is pure.

mod device;
mod machine;
mod netdev;
mod rules;

use serde::Serialize;

pub use device::{Channels, Device, XdpFeatures, driver, present, read};
pub use machine::Machine;
pub use rules::{Mode, device as judge_device, machine as judge_machine};

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Worth knowing.
    Note,
    /// The filter works, and would work better.
    Change,
    /// The filter does not work.
    Trouble,
}

/// Something that follows from the facts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub level: Level,
    pub text: String,
    /// What to type or to write into the configuration.
    pub line: Option<String>,
}

impl Finding {
    fn new(level: Level, text: impl Into<String>, line: Option<String>) -> Self {
        Self {
            level,
            text: text.into(),
            line,
        }
    }
}

#[cfg(test)]
mod tests;
