//! Lists that others keep: indicators of compromise and block lists, from a file or a URL to entries with their places.
//!
//! `read` turns bytes into entries, whatever the bytes; `guard` says which lists are not believed; `store` keeps the
//! last good text of each; `fetch` brings a new one. The filter never fetches: it reads a file, or what was fetched
//! last.

mod address;
mod crowdsec;
mod feodo;
pub mod fetch;
mod format;
mod lines;
mod load;
mod misp;
mod nftables;
mod reading;
pub mod sanity;
mod spamhaus;
mod stix;
pub mod store;
#[cfg(test)]
mod tests;
pub mod update;

pub use crate::model::list::{
    Action, Definition, Direction, Format, NAME_BYTES_MAX, Source, is_name,
};
pub use crate::model::listing::{Entries, Entry, Listing, Place, naming};
pub use load::{LoadError, Loaded, Report, Standing, files, load};
pub use reading::{Contents, Fault, LIST_BYTES_MAX, ListError, read};
