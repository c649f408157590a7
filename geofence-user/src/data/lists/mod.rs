//! Lists that others keep: indicators of compromise and block lists, from a file or a URL to entries with their places.
//!
//! `read` turns bytes into entries, whatever the bytes; `guard` says which lists are not believed; `store` keeps the
//! last good text of each; `fetch` brings a new one. The filter never fetches: it reads a file, or what was fetched
//! last.

mod address;
mod crowdsec;
pub mod duration;
mod feodo;
pub mod fetch;
mod format;
mod lines;
mod listing;
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

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use geofence_common::action::Direction as Way;

pub use format::Format;
pub use listing::{Entries, Entry, Listing, Place, naming};
pub use load::{LoadError, Loaded, Report, Standing, files, load};
pub use reading::{Contents, Fault, LIST_BYTES_MAX, ListError, read};

/// A list as the configuration has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    pub name: String,
    pub source: Source,
    pub format: Format,
    pub action: Action,
    pub direction: Direction,
    /// After which time without news an entry lapses.
    pub expires: Option<Duration>,
}

/// Where a list comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    File(PathBuf),
    /// `http` or `https`.
    Url(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url(url) => f.write_str(url),
        }
    }
}

/// What being on a list means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The packet is dropped.
    Block,
    /// It is remarked upon.
    Alert,
}

/// Which packets a list is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Those that come from a listed address.
    In,
    /// Those that go to one.
    Out,
    Both,
}

impl Direction {
    /// Whether a list is about packets that go this way.
    #[must_use]
    pub fn is(self, way: Way) -> bool {
        match self {
            Self::In => way == Way::In,
            Self::Out => way == Way::Out,
            Self::Both => true,
        }
    }
}

/// A longer name would be a label that no counter has room for.
pub const NAME_BYTES_MAX: usize = 64;

/// Whether a text can name a list: it becomes a label, and the name of a file.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    text.len() <= NAME_BYTES_MAX
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(is_fit)
}
