//! Flows: what our side opened towards a blocked country, and for how long the other side may answer.
//!
//! Only packets that leave create or extend a flow. Deadlines are nanoseconds since boot, time asleep included
//! (CLOCK_BOOTTIME), so that neither a stopped daemon nor a changed clock keeps a door open.

pub mod cache;
pub mod fragments;
pub mod key;
pub mod rate_limit;
pub mod state;

pub use fragments::{Datagram, DatagramKey};
pub use key::{FlowKey, Table};
pub use state::{Flow, State, lifetime};
