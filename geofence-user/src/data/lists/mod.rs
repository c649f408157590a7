//! Lists from third parties: indicators of compromise and block lists, from a file or a URL to their entries.
//!
//! `read` turns bytes into entries; `sanity` rejects lists that would block the wrong addresses; `store` keeps the last
//! good text of each list; `update` fetches new texts. The filter never fetches: it reads a file, or the stored text.

mod address;
mod check;
mod extent;
mod formats;
mod load;
mod local_addresses;
mod obtain;
mod parser;
mod problem;
mod read;
mod report;
pub mod sanity;
mod source_file;
mod special_use;
pub mod store;
#[cfg(test)]
mod tests;
mod text;
mod traffic;
mod update;

pub use load::{LoadError, Loaded, files, load};
pub use local_addresses::LocalAddresses;
pub use problem::{Fault, Problem};
pub use read::{Contents, ListError, read};
pub use report::{ListReport, ListState};
pub use traffic::Traffic;
pub use update::{UpdateOptions, UpdateOutcome, update};
