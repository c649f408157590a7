//! The control socket: a client sends a line of JSON, and the daemon answers with a line of JSON.
//!
//! ```text
//! {"version":1,"command":"status"}
//! {"version":1,"ok":true,"result":{...}}
//! {"version":1,"command":"reload","force":false,"needed":[]}
//! {"version":1,"ok":false,"cause":"database","error":"..."}
//! ```
//!
//! The daemon serves only root and its own user, whatever the socket's mode. The fleet agent has a socket of its own,
//! on which it may ask for less. HTTP only reads.

mod client;
mod door;
mod protocol;
mod server;

pub use client::{Answer, AskError, ask, ask_agent, ask_for};
pub use door::{Door, FLEET, ListenError};
pub use protocol::{Request, VERSION};
pub use server::listen_and_serve;
