//! What the daemon notices by itself: files that changed, and interfaces that came back.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use rtnetlink::MulticastGroup;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::daemon::{Daemon, Wishes};

/// How often files are looked at. What has not changed between two looks is taken for whole.
const FILES_PERIOD: Duration = Duration::from_secs(1);
/// How often interfaces are looked at when the kernel has nothing to say of them.
const INTERFACES_PERIOD: Duration = Duration::from_secs(1);

/// What tells one state of a file from another; nothing for a file that is not there.
type Print = Option<(u64, u64, u64, i64, i64)>;

/// The files of a configuration, as they were at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Files(BTreeMap<PathBuf, Print>);

impl Files {
    fn look(paths: &[PathBuf]) -> Self {
        Self(
            paths
                .iter()
                .map(|path| (path.clone(), print(path)))
                .collect(),
        )
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

/// Reloads when a file has changed and come to rest; never ends.
///
/// Looking, rather than being told, sees through links, mounts and files that are replaced, and costs a few calls a
/// second. A state that was refused is not tried again.
pub async fn files(daemon: Arc<Daemon>) {
    let mut ticks = interval(FILES_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut tried = Files::look(&daemon.files());
    let mut last = tried.clone();
    loop {
        ticks.tick().await;
        let seen = Files::look(&daemon.files());
        let is_settled = seen == last;
        last = seen;
        if !is_settled || last == tried {
            continue;
        }
        let changed = last
            .0
            .iter()
            .filter(|one| tried.0.get(one.0) != Some(one.1));
        let names: Vec<_> = changed
            .map(|(path, _)| path.display().to_string())
            .collect();
        if names.is_empty() {
            // A reload by other means has changed which files count.
            tried = last.clone();
            continue;
        }
        info!("{} changed: reloading", names.join(", "));
        // What changes during the reload is seen by the next look.
        tried = last.clone();
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
                message = stream.next() => if message.is_none() {
                    warn!("the kernel has stopped telling of interfaces; they are looked at every second");
                    messages = None;
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
        let look = || Files::look(std::slice::from_ref(&path));
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
