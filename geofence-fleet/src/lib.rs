//! A fleet of edges that share policies, exceptions, bans, lists and databases through etcd.
//!
//! Each node runs an agent, a process of its own without privileges. The agent watches the engine, and asks the node's
//! daemon for what the fleet wants. The daemon never waits for it: without the engine, and without the agent, a node
//! keeps filtering with what it has.

pub mod agent;
pub mod authority;
pub mod backoff;
pub mod cli;
pub mod content;
pub mod download;
pub mod engine;
pub mod exceptions;
pub mod keys;
pub mod node_status;
pub mod release;
pub mod rollout;
pub mod scrape;
pub mod settings;
pub mod signature;
pub mod waves;
