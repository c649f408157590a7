//! The laboratory of a fleet: real members of etcd, real daemons with their agents, and a flood at all of them.
//!
//! ```text
//! operator, and a bridge that joins all ---- member1 .. member3: etcd with TLS
//!                                       ---- node1 .. nodeN: geofence on edge0, and an agent as a user of its own
//!                                       ---- outside: packets of every kind, to every node
//! ```
//!
//! A node has one interface, which is protected: the engine is reached through the filter.

mod engine;
mod groups;
mod guide;
mod laboratory;
mod many_bans;
mod nodes;
mod outage;
mod poison;
mod site;
mod small;
mod steps;
mod traffic;
mod troubles;
mod unknown_node;
mod watchers;

pub use steps::{PROGRAMS, fleet};
pub use troubles::{clock, dashboard, troubles};
