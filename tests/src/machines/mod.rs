//! The laboratory of machines: kernels of Debian under an emulator, with the network cards that it emulates.
//!
//! Each kernel boots from a file system in memory that holds geofence, this laboratory and the modules. Inside,
//! each device is two cards that a hub of the emulator joins; nothing leaves the emulator. What is looked at is written
//! to a serial port, a row a line. In the whole form the kernel boots again, and finds on a disk what was kept. A
//! machine that stops early is an error that shows the end of its console.

mod agreement;
mod archive;
mod devices;
mod disk;
mod guest;
mod kernels;
mod largest;
mod machine;
mod reboot;
mod rows;
mod stacks;
mod tunnels;
mod verdicts;

pub use agreement::corpus_agrees;
pub use guest::run as guest;
pub use kernels::{Kernel, found};
pub use largest::{EVERYTHING, largest};
pub use machine::{PROGRAMS, PROGRAMS_OF_WHOLE, machines};
