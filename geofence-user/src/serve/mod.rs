//! The daemon's servers: a read-only HTTP listener, the control socket, and the socket of the fleet agent.

pub mod connection_limit;
pub mod control;
pub mod http;
pub mod metrics;
pub mod page;
pub mod web_config;
