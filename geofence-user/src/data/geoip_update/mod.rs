//! Getting a current GeoIP database: from its vendor, a URL or a file, unpacked, and with the SHA-256 that the vendor
//! gives.
//!
//! Whether the data may replace what is in use is for others to judge. Only `geofence update` fetches.

mod archive;
mod download;
mod state;
#[cfg(test)]
mod tests;

pub use download::{Downloaded, ObtainError, Role, obtain, sha256};
pub use state::{FileState, StateFile};
