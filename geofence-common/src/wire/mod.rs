//! Headers as they are on the wire: one header a file, and one function that reads it or returns a reason.
//!
//! Only here do byte offsets and network order appear. Every loop has a named bound; every read can fail.

pub mod dns;
pub mod ethernet;
pub mod ipv4;
pub mod ipv6;
pub mod parse;
pub mod protocol;
pub mod quoted;
pub mod transport;
