//! MaxMind DB files: read whole, checked whole, and refused with a way out.
//!
//! Files are input and may hold any bytes. `geoip` and `asn` say what their records must have.

mod content;
mod error;
mod reader;
mod record;
mod tree;

pub use error::DatabaseError;
pub use reader::{Reader, SourceInfo};
pub(super) use record::CountryField;
