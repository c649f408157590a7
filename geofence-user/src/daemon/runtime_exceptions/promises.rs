//! Exceptions that were added for a duration: they last so long also when the wall clock is set meanwhile.
//!
//! The file has their ends by the wall clock, and these are written anew when it is set. What was added before the
//! daemon started ends by the wall clock alone.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::os::clock::boot_now;

/// The ends of such exceptions, in nanoseconds since boot, by name.
#[derive(Clone, Debug, Default)]
pub(in crate::daemon) struct Promises(BTreeMap<String, u64>);

impl Promises {
    /// Each name and its end.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, u64)> {
        self.0.iter().map(|(id, end)| (id, *end))
    }

    /// Records that an exception ends after this time; without one, at a time of the wall clock.
    pub(super) fn record(&mut self, id: &str, lasts: Option<Duration>) {
        let end = lasts.zip(boot_now().ok()).map(|(lasts, now)| {
            let lasts = u64::try_from(lasts.as_nanos()).unwrap_or(u64::MAX);
            now.saturating_add(lasts)
        });
        match end {
            Some(end) => self.0.insert(id.to_owned(), end),
            None => self.0.remove(id),
        };
    }
}
