//! The mail laboratory: real mail servers, real DNS and a filter between them, to prove that blocking countries costs
//! no mail and that what mail needs opens nothing else.
//!
//! Everything lives in namespaces of its own and in memory; see [`network`] for the map. A step sets something in
//! motion, waits for it with a deadline and says in rows what was expected and what was seen. What is seen comes from
//! mailboxes, queues, logs, a witness behind the filter and the filter's counters: never from the filter's code.

mod delivery;
mod dns;
mod fetched;
mod filter;
mod flood;
mod forged;
mod ground;
mod hosts;
mod laboratory;
mod large;
mod network;
mod own_names;
mod postfix;
pub mod report;
mod scale;
mod scan;
pub(crate) mod server;
mod steps;
mod witness;

pub use filter::Mode;
pub use laboratory::PROGRAMS;
pub use scale::Scale;
pub use steps::mail;
