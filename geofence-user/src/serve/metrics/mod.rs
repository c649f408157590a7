//! The metrics of a running filter, in OpenMetrics and in Prometheus' text format.
//!
//! Labels come from closed sets or from the configuration, never from an address or a port, so no sender can increase
//! the number of series.

mod encode;
mod families;
mod flows;
mod interfaces;
mod lists;
mod policy;
mod tenants;

pub use encode::{OPENMETRICS, TEXT, openmetrics, text};
