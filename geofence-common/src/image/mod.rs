//! The policy image: one flat block of 32-bit words that holds everything a verdict needs.
//!
//! Both sides read it with this code; the compiler in userspace writes it. See docs/image-format.md.

pub mod class;
pub mod destination;
pub mod exceptions;
pub mod host_table;
pub mod layout;
pub mod list_set;
pub mod lookup;
pub mod node;
pub mod settings;
pub mod words;

pub use layout::*;
pub use lookup::Lookup;
pub use node::*;
pub use settings::{Flags, PortRule, Replies, flag};
pub use words::Words;
