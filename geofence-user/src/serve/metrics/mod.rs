//! The metrics of a running filter, in OpenMetrics and in Prometheus' text format.
//!
//! Labels come from closed sets or from the configuration, never from an address or a port, and the number of series
//! has a bound, so no sender can increase it at will. docs/metrics.md names every series; a test compares the two.

mod database_updates;
mod exception_series;
mod exporter;
mod families;
mod flows;
mod interfaces;
mod lists;
mod observation;
mod packet_series;
mod policy;
mod process;
mod services;
mod tenants;
#[cfg(test)]
mod tests;

pub use exporter::{Exporter, OPENMETRICS, TEXT};
