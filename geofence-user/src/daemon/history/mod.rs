//! What passed and was dropped in the last hours and days, for `geofence report`: a row for each minute of the last six
//! hours, and one for each hour of the last seven days.
//!
//! The rows are in memory and, every few minutes and at the end, in the state directory. Their number and size have
//! bounds, whatever the traffic.

mod file;
mod keeper;
mod report;
mod rows;
mod rows_since;

pub use keeper::keep_history;
pub(super) use rows_since::History;
