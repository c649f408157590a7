//! The lock-out check: what this machine and its operator need of the network must pass a policy before it filters.
//!
//! The peers of SSH sessions, the gateways, the resolvers and the cloud's metadata service are looked up in the network
//! namespace geofence runs in. The function that the kernel runs decides about a packet of each, over the new image,
//! and each peer that would be cut off is named. It only reads; nothing is sent and nothing changes.

mod cut_off;
mod dependency;
mod environment;
mod lookup;
mod metadata;
mod routes;
mod sockets;
pub mod watcher;

pub use cut_off::{CutOff, Lockout, Replies, cut_off};
pub use dependency::{Dependency, Need};
pub use lookup::{dependencies, fleet_servers};

#[cfg(test)]
mod tests;
