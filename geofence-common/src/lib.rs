//! The decision about a packet, compiled twice: into the kernel's XDP program and into userspace.
//!
//! This crate parses a frame, looks its source up in a policy image and chooses its fate. It never allocates, never
//! panics and knows neither kernel nor libc; a frame comes in through `Frame`, the policy through `Tables`.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

pub mod address;
pub mod class;
pub mod contact;
pub mod country;
mod evidence;
pub mod exception;
mod exempt;
pub mod flow;
pub mod frame;
pub mod hosts;
pub mod image;
pub mod layout;
pub mod leave;
pub mod observe;
pub mod packet;
pub mod policy;
pub mod pressure;
pub mod recent;
pub mod track;
pub mod verdict;
pub mod wire;
pub mod zone;
