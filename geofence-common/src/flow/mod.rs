//! Flows: connections that our side opened to a blocked country, and for how long replies pass.
//!
//! Only packets that leave create or extend a flow. Deadlines count from boot and include time asleep (CLOCK_BOOTTIME),
//! so that neither a stopped daemon nor a changed clock keeps a flow open.

pub mod cache;
pub mod fragments;
pub mod key;
pub mod rate_limit;
pub mod state;

pub use fragments::{Datagram, DatagramId, DatagramKey};
pub use key::{FlowKey, Table};
pub use state::{Flow, State, lifetime};
