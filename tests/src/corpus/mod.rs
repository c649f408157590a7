//! Frames worth judging, each named for what it is.
//!
//! Every trick that fits into one frame is here once: a decision that is right for all of these is right about the
//! shape of packets. Names are stable, lower-case and unique within a family, so a failing case can be looked up. A
//! frame comes from `source` unless its name says otherwise (`own_address`, `link_local`, `from_...`).

mod control;
mod entry;
mod extensions;
mod families;
mod icmp;
mod ipv4;
mod ipv6;
mod link;
mod tags;
mod transport;

pub use control::dhcp_answer;
pub use entry::Named;
pub use families::{corpus, named};
