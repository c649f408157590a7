//! The sanity check: whether new GeoIP data may replace the data in use.
//!
//! A damaged, truncated or mixed-up database can be well formed, and would then unblock or block a whole country by
//! mistake. So new data is compared with the data in use, country by country, and refused where a difference is larger
//! than registries make. An operator can override the refusal.
//!
//! Pure: images or counts in, refusals out. Nothing here reads a file, asks the kernel or reads the clock.

mod address_counts;
mod comparison;
mod first_data;
mod refusal;
mod report;
mod rules;
mod units;
mod vendor;

pub use address_counts::{AddressCounts, as_database_extents, country_ranges};
pub use comparison::{Change, Comparison, data_built};
pub use first_data::{FirstData, FirstDataError};
pub use refusal::{Refusal, Refused, Who, settle};
pub use report::{Counts, Report};
pub use rules::{as_database_refusals, refusals};
pub use vendor::{Vendor, accepting_line};

#[cfg(test)]
mod tests;
