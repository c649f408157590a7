//! The daemon's two servers: a read-only HTTP listener, and the control socket.

pub mod connection_limit;
pub mod control;
pub mod http;
pub mod metrics;
pub mod page;
pub mod web_config;
