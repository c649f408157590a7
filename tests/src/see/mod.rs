//! The laboratory of what can be seen: a real Prometheus and Alertmanager watch a real geofence under traffic.
//!
//! ```text
//! peer: frames from many countries ---- veth ---- edge: geofence, Prometheus, Alertmanager, pmacct
//! ```
//!
//! Prometheus reads the rules of deploy/prometheus and is asked every query of the dashboard in deploy/grafana. Grafana
//! itself is not run: it is no package of Debian.

pub(crate) mod ask;
mod collector;
mod laboratory;
mod load;
mod map;
mod pictures;
mod readers;
mod screen;
mod site;
mod stack;
mod steps;
mod traffic;

pub use steps::{PROGRAMS, see};
