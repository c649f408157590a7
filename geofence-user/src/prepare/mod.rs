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

pub use asn::{UnknownSystem, UnknownSystems};
pub use clock::{boot, now};
pub use cross_check::Opinions;
pub(crate) use database_cache::Before;
pub use database_cache::Kept;
pub use filter_options::options;
pub use prepared::{Others, PrepareError, Prepared, Read, Second, prepare, prepare_from};
pub use warnings::DATA_AGE_MAX_DAYS;
