//! The decision about a packet, compiled twice: into the kernel's programs and into userspace.
//!
//! A packet's way, in order:
//!
//! 1. `geofence-ebpf` wraps what the hook gives it as a `frame::Frame`: bytes by value at an offset.
//! 2. `wire::parse` reads Ethernet, VLAN tags and the network header into a `packet::Packet`.
//! 3. `decide::filter` (`decide/ingress.rs`) looks up the source's class and the destination's policy in the policy
//!    image (`image/`).
//! 4. Link control passes (`decide/link_control.rs`). For most other packets the two addresses decide
//!    (`decide/endpoint.rs`).
//! 5. Only where an exception, a protected port or an exemption depends on it, the headers behind are read into an
//!    `L4` (`l4.rs`).
//! 6. `decide/exceptions.rs` applies exceptions and protected ports. `decide/exemptions.rs` applies mail, services,
//!    replies, ICMP errors, fragments and the rate limit.
//! 7. The result is a `decide::Verdict` with one `action::Reason`. The hook counts it (`maps.rs`), sends an
//!    `event::Event` where the source is on a list, and passes or drops the packet.
//! 8. A packet that leaves goes through `decide::egress`: `decide/egress.rs` checks lists, `decide/conntrack.rs`
//!    records the flow (`flow/`), so that step 6 recognises the reply.
//!
//! `explain` watches the same code through `explain::Observer`. This crate never allocates, never panics and knows
//! neither kernel nor libc. `opaque.rs` holds what the kernel's verifier asks of it.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

pub mod action;
pub mod address;
pub mod country;
pub mod decide;
pub mod event;
pub mod explain;
pub mod flow;
pub mod frame;
pub mod image;
mod l4;
pub mod maps;
pub mod observe;
pub mod opaque;
pub mod packet;
pub mod service;
pub mod wire;
