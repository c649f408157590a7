//! The bounds of asking page by page: a server could give pages without end.

use std::time::{Duration, Instant};

use super::obtained::Failure;
use crate::data::lists::source_file::LIST_BYTES_MAX;

/// The most pages.
const PAGES_MAX: usize = 10_000;
/// The time for all pages.
const TIME_MAX: Duration = Duration::from_secs(15 * 60);

/// How much of a list has been read.
pub(super) struct Pages<'a> {
    url: &'a str,
    started: Instant,
    pages: usize,
    bytes: u64,
}

impl<'a> Pages<'a> {
    pub(super) fn new(url: &'a str) -> Self {
        Self {
            url,
            started: Instant::now(),
            pages: 0,
            bytes: 0,
        }
    }

    /// The bytes of the pages before.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The most bytes that the next page may have.
    pub(super) const fn room(&self) -> u64 {
        LIST_BYTES_MAX.saturating_sub(self.bytes)
    }

    /// Counts a page.
    pub(super) fn add(&mut self, page: &[u8]) -> Result<(), Failure> {
        self.pages += 1;
        self.bytes += page.len() as u64;
        if self.pages < PAGES_MAX && self.started.elapsed() < TIME_MAX {
            return Ok(());
        }
        Err(Failure::from(format!(
            "{}: after {} pages there are still more; ask for less, or use a smaller collection",
            self.url, self.pages
        )))
    }

    /// A page that is not what was asked for.
    pub(super) fn unreadable(&self, what: &str) -> Failure {
        Failure::from(format!(
            "{}: page {} is no {what}; check the URL",
            self.url, self.pages
        ))
    }
}
