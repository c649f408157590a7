//! The decision: the only place that chooses what happens to a packet.
//!
//! `filter` decides about a packet that enters, `egress` about one that leaves. They read tables, and change only what
//! later packets depend on (flows, accepted fragments and rate limits) and the counters of exempted services.

mod case;
pub mod conntrack;
pub mod egress;
mod endpoint;
mod exceptions;
mod exemptions;
mod fast_path;
mod ingress;
mod link_control;
pub mod origin;
mod tables;
mod verdict;

pub use case::CASE_SIZE;
pub use conntrack::{Conntrack, Tracking};
pub use egress::{EgressVerdict, egress};
pub use endpoint::classify;
pub use fast_path::without_rules;
pub use ingress::{filter, filter_fast};
pub use origin::Origin;
pub use tables::Tables;
pub use verdict::Verdict;
