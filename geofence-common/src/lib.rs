//! The decision about a packet, compiled twice: into the kernel's programs and into userspace.
//!
//! This crate never allocates, never panics and knows neither kernel nor libc; a frame comes in through
//! `frame::Frame`, the policy through `decide::Tables`.
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
pub mod opaque;
pub mod packet;
pub mod wire;
