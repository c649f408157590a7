//! The privileges of the process: what the daemon drops once the filter is attached, what it keeps, and what the kernel
//! says it still has.
//!
//! Only attaching needs capabilities. An attached filter is reached through descriptors and pins that exist already, so
//! the daemon then has no capability and cannot gain one, writes only to its own directories, and is refused the system
//! calls that it never makes. A capability that it has to keep is kept by name, with the reason, which `geofence
//! status` shows.
//!
//! Privileges are those of a thread and of the threads it creates later, so they are dropped while there is one thread.

mod calls;
mod capabilities;
mod drop;
mod files;
mod retained;
mod status;

pub use drop::{drop_privileges, restrict_to_inspection};
pub use files::{TcpPorts, confine};
pub use retained::{DroppedPrivileges, RetainedPrivilege};
pub use status::{PrivilegeStatus, sentence};
