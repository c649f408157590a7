//! The life laboratory: a filter is upgraded, reloaded and killed under a flood, and nothing leaks and nothing is lost.
//!
//! The kernel floods the edge from blocked sources. Meanwhile, four times a millisecond, one sender sends a numbered
//! packet from a source that is always open, and one from each of two sentinels, of which exactly one is open at any
//! time: every reload of the world's table changes their sides. What this sender sends, on one core and through one
//! queue that the flood does not use, arrives in order, so what the sentinels say is exact: from packet to packet the
//! policy is the one or the other, and it changes once a reload. A witness behind the filter notes every packet that
//! passed, and the driver says how many the filter dropped and for how many there was no room before it: a numbered
//! packet that is lost is the filter's fault, unless the link itself was down, or the run says that it was not exact.

mod damage;
mod devices;
mod faults;
mod found;
mod leases;
mod machines;
mod returns;
mod site;
mod steps;
mod traffic;

pub(crate) use site::{LISTED, RULES};
pub use steps::{PROGRAMS, life};
