//! The test harness: isolated networks, frames to send over them, and the program under test.
//!
//! Suites in `tests/`, the demo, the laboratory and the benchmark use it; nothing else may. It assumes Linux and, for
//! everything that touches the kernel, root: begin such a test with [`require_root!`]. Traffic flows only between
//! network namespaces made here, which have no route out, no name on the host and no life beyond the process. Failures
//! are errors with a context, never a bare panic; the one exception is the frame builder, which panics with a sentence
//! when a caller contradicts itself.

pub mod affinity;
pub mod bpf;
pub mod browser;
pub mod budget;
pub mod call;
pub mod corpus;
pub mod counters;
pub mod daemon;
pub mod dashboard;
pub mod doc_text;
pub mod edge;
pub mod every_key;
pub mod fake_clock;
pub mod fleet;
pub mod frames;
pub mod host;
pub mod http;
mod instance;
pub mod journal;
pub mod lab;
pub mod life;
pub mod link;
pub mod list_server;
pub mod machines;
pub mod memory_limit;
pub mod mmdb_writer;
pub mod mutate;
pub mod namespace;
pub mod oracle;
pub mod packet_socket;
pub mod precedence;
pub mod privilege;
pub mod probe;
pub mod processor_time;
pub mod python;
pub mod see;
mod sent_counters;
pub mod site;
pub mod sources;
pub mod supervisor;
pub mod terminal;
pub mod tun;
pub mod wait;
pub mod web;
