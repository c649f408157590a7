//! The formats that lists come in: one file for each publisher's, and which of them a text has.

mod crowdsec;
mod detect;
mod feodo;
mod lines;
mod misp;
mod nftables;
mod spamhaus;
mod stix;
mod time;

pub(super) use detect::{detect, parser_of};
