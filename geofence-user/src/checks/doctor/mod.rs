//! What keeps the filter from working well on this machine: facts about the kernel and the interfaces, and findings.
//!
//! It only reads: netlink, /proc and /sys answer without privilege, for the network namespace geofence runs in. The
//! rules are pure.

mod device;
mod device_rules;
mod forwarding;
mod machine;
mod machine_rules;
mod netdev;

pub use device::{Channels, Device, XdpFeatures};
pub use device_rules::{Mode, judge_device};
pub use forwarding::{Forwarding, judge_forwarding};
pub use machine::{Machine, mpls_inputs};
pub use machine_rules::judge_machine;

#[cfg(test)]
mod tests;
