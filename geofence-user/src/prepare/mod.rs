//! From a checked configuration to everything the kernel needs: the data read, the image compiled.
//!
//! Nothing here touches the kernel, so an error in a file or a database is found before anything changes.

mod asn;
mod clock;
mod cross_check;
mod database_cache;
mod filter_options;
mod prepared;
mod warnings;

pub use asn::{UnknownAs, UnknownAsErrors};
pub use clock::boot;
pub use cross_check::CrossCheckAnswer;
pub use database_cache::DatabaseCache;
pub(crate) use database_cache::{DatabaseFiles, is_database_alone};
pub use filter_options::filter_options;
pub use prepared::{
    CountryData, CrossCheckData, OtherData, PrepareError, Prepared, prepare, prepare_from,
};
