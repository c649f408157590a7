//! What the daemon needs of the operating system around it: an instance's directories, the last good image on disk, the
//! service manager, and its own privileges.

pub mod clock;
pub mod instance;
pub mod memory;
pub mod notify;
pub mod privilege;
pub mod state;
