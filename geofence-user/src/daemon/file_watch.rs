//! What the daemon notices by itself: files that changed, and interfaces that came back.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{FutureExt as _, StreamExt as _};
use rtnetlink::MulticastGroup;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::daemon::{Daemon, Wishes};

/// How often files are looked at. What has not changed between two looks is taken for whole.
const FILES_PERIOD: Duration = Duration::from_secs(1);
/// How often lapsed entries are a reason to reload: some lists have one lapse every second.
const LAPSED_PERIOD: Duration = Duration::from_secs(60);
/// How often interfaces are looked at when the kernel has nothing to say of them.
const INTERFACES_PERIOD: Duration = Duration::from_secs(1);

/// What tells one state of a file from another; nothing for a file that is not there.
type Print = Option<(u64, u64, u64, i64, i64)>;

/// Files as they were at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files(BTreeMap<PathBuf, Print>);

impl Files {
    #[must_use]
    pub fn look<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Self {
        let paths = paths.into_iter();
        Self(paths.map(|path| (path.clone(), print(path))).collect())
    }

    /// The same files as they are now.
    #[must_use]
    pub fn look_again(&self) -> Self {
        Self::look(self.0.keys())
    }

    /// Whether all are there, and were last written so long before this moment that whatever is written to one of them
    /// from then on shows: clocks of file systems stand still for some milliseconds at a time.
    #[must_use]
    pub fn are_settled(&self, now: u64) -> bool {
        self.0.values().all(|print| {
            let written = print.and_then(|(_, _, _, seconds, _)| u64::try_from(seconds).ok());
            written.is_some_and(|written| written.saturating_add(1) < now)
        })
    }

    /// Where they are.
    pub fn paths(&self) -> impl Iterator<Item = PathBuf> {
        self.0.keys().cloned()
    }

    /// Together with others.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// The names of those that are otherwise here than there.
    fn changed(&self, other: &Self) -> Vec<String> {
        let changed = self
            .0
            .iter()
            .filter(|one| other.0.get(one.0) != Some(one.1));
        changed
            .map(|(path, _)| path.display().to_string())
            .collect()
    }
}

fn print(path: &Path) -> Print {
    let facts = std::fs::metadata(path).ok()?;
    Some((
        facts.dev(),
        facts.ino(),
        facts.len(),
        facts.mtime(),
        facts.mtime_nsec(),
    ))
}

/// Reloads when a file has changed and come to rest, or when entries of a list have lapsed; never ends.
///
/// Looking, rather than being told, sees through links, mounts and files that are replaced, and costs a few calls a
/// second. A state that was refused is not tried again.
pub async fn files(daemon: Arc<Daemon>) {
    let mut ticks = interval(FILES_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = None;
    let mut lapsed: Option<Instant> = None;
    loop {
        ticks.tick().await;
        if daemon.is_on_trial() {
            continue;
        }
        let tried = daemon.tried();
        let seen = tried.look_again();
        if daemon.has_lapsed() && lapsed.is_none_or(|last| last.elapsed() >= LAPSED_PERIOD) {
            lapsed = Some(Instant::now());
            info!("entries of a list have lapsed: reloading");
            let _ = daemon.reload(Wishes::default()).await;
            continue;
        }
        let is_settled = last.replace(seen.clone()).is_some_and(|last| last == seen);
        if !is_settled || seen == tried {
            continue;
        }
        info!("{} changed: reloading", seen.changed(&tried).join(", "));
        // The failure has been told of and counted.
        let _ = daemon.reload(Wishes::default()).await;
    }
}

/// Looks after interfaces whenever the kernel says that one has changed; never ends.
pub async fn interfaces(daemon: Arc<Daemon>) {
    let mut ticks = interval(INTERFACES_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut messages = match rtnetlink::new_multicast_connection(&[MulticastGroup::Link]) {
        Ok((connection, _, messages)) => {
            tokio::spawn(connection);
            Some(messages)
        }
        Err(error) => {
            warn!(
                "the kernel does not tell of interfaces, so they are looked at every second: {error}"
            );
            None
        }
    };
    loop {
        match &mut messages {
            Some(stream) => tokio::select! {
                _ = ticks.tick() => {}
                message = stream.next() => {
                    // Whatever else it has told is of before the look that comes next, which is enough for all of it.
                    let mut last = message;
                    while last.is_some() {
                        match stream.next().now_or_never() {
                            Some(next) => last = next,
                            None => break,
                        }
                    }
                    if last.is_none() {
                        warn!("the kernel has stopped telling of interfaces; they are looked at every second");
                        messages = None;
                    }
                }
            },
            None => {
                ticks.tick().await;
            }
        }
        daemon.look_after_interfaces().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_differs_when_written_replaced_or_removed() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("one");
        let look = || Files::look([&path]);
        let mut states = vec![look()];
        std::fs::write(&path, "one").unwrap();
        states.push(look());
        std::fs::write(&path, "three").unwrap();
        states.push(look());
        let other = place.path().join("two");
        std::fs::write(&other, "three").unwrap();
        std::fs::rename(&other, &path).unwrap();
        states.push(look());
        for (at, one) in states.iter().enumerate() {
            assert!(states[at + 1..].iter().all(|other| other != one), "{at}");
        }
        assert_eq!(look(), look());
    }
}
