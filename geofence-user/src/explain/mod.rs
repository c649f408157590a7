//! A decision in words: the packet that an operator asks about, the steps of the decision, and the verdict.
//!
//! The steps come from the function that the kernel runs, which reports them as it runs; nothing here decides.

mod decide;
mod describe;
mod names;
pub mod pcap;
pub mod pcapng;
mod question;
pub mod simulated_tables;

pub use decide::{
    Recorder, addresses, class_of, explain, explain_egress, explain_next, explain_with,
};
pub use describe::{describe, endpoint, tcp_flags};
pub use names::{Names, override_to_json, system_to_json};
pub use question::{Protocol, Question, QuestionError};
