//! The kernel's side of the filter: load the program, fill its maps, attach it, read it back.
//!
//! Only this folder names aya. Nothing here decides anything about a packet, and every failed call is reported by the
//! name of the call and what an operator can do about it.

mod adopt;
mod ask;
mod attach;
mod batch;
mod call;
pub mod events;
mod failure;
mod filter;
pub mod flows;
mod image_map;
mod interface;
mod load;
mod object;
mod pins;
mod retry;
mod rollback;
mod running;
mod tables;
pub mod tenants;

pub use adopt::{Attached, Survey};
pub use attach::{AttachError, has_tcx as attaches_by_link};
pub use filter::{Filter, LoadError};
pub use interface::{Interface, interfaces};
pub use pins::{Held, PinError, Pins};
pub use running::Running;

/// The oldest kernel with everything the program uses: array elements of any size (Linux 6.0).
pub const KERNEL_MIN: (u8, u8) = (6, 0);
