//! Configuration: text to a checked `Config`, or to every error in the text at once.
//!
//! The shipped file `deploy/geofence.toml` is the default; a key that a file leaves out keeps the value it has there.
//! Nothing here touches the kernel, an interface or a database, and nothing is fetched.

mod access;
mod addresses;
mod asn;
mod asn_mentions;
mod configuration;
mod docs;
mod error;
mod exception_spec;
mod json_schema;
mod key;
mod key_doc;
mod keys;
mod list_source;
mod load;
mod merged;
pub mod overrides;
mod parse;
mod runtime_exceptions;
mod schema;
mod shown_text;
mod sources;
mod table;
mod targets;
#[cfg(test)]
mod tests;
mod toml_text;
mod value;
mod values;
mod warnings;

pub(crate) use addresses::prefix;
pub use asn::{AsMention, AsName};
pub use configuration::{Config, FlowCapacity, XdpMode};
pub use docs::{Example, docs, examples};
pub use error::{ConfigErrors, Located, Problem};
pub use exception_spec::{BAN, ExceptionSpec, RuntimeException, RuntimeExceptions, ban_name};
pub use json_schema::json_schema;
pub use merged::{ConfigText, drop_ins};
pub use parse::DEFAULT;
