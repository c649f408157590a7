//! What an agent keeps on disk: how far it is with each release, the bans that it has made, and the last two contents
//! of each list and database.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use geofence_user::os::replace::{put, replace};
use serde::{Deserialize, Serialize};

use crate::keys::Subject;
use crate::node_status::ReleaseStatus;

/// The state file.
const STATE: &str = "agent.json";

/// What the state file says.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct State {
    /// By the subject's path.
    releases: Vec<(Subject, ReleaseStatus)>,
    /// What this node has had, whatever was refused since.
    had: Vec<(Subject, Had)>,
    bans: BTreeSet<String>,
}

/// What a node has had of a subject. An older release that was signed once must not come back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Had {
    /// The highest revision whose signature was right.
    pub(super) revision: u64,
    /// The digest of the content in use.
    pub(super) active: Option<String>,
}

/// The directory of an agent.
#[derive(Debug)]
pub(super) struct Store {
    directory: PathBuf,
    state: State,
}

impl Store {
    pub(super) fn open(directory: &Path) -> Result<Self> {
        let path = directory.display();
        fs::create_dir_all(directory).with_context(|| format!("cannot create {path}"))?;
        let text = match fs::read_to_string(directory.join(STATE)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => "{}".to_owned(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {path}/{STATE}")),
        };
        // The engine says again what is wanted. What is lost is which bans are the agent's own, and which revisions the
        // node has had.
        let state = serde_json::from_str(&text).unwrap_or_else(|error| {
            tracing::warn!("{path}/{STATE} cannot be read, and is written anew: {error}");
            State::default()
        });
        Ok(Self {
            directory: directory.to_owned(),
            state,
        })
    }

    pub(super) fn releases(&self) -> BTreeMap<Subject, ReleaseStatus> {
        self.state.releases.iter().cloned().collect()
    }

    /// Records how far a release is.
    pub(super) fn set_release(
        &mut self,
        subject: &Subject,
        status: &ReleaseStatus,
    ) -> io::Result<()> {
        self.change(|state| {
            state.releases.retain(|(one, _)| one != subject);
            state.releases.push((subject.clone(), status.clone()));
        })
    }

    pub(super) fn had(&self, subject: &Subject) -> Had {
        let found = self.state.had.iter().find(|(one, _)| one == subject);
        found.map(|(_, had)| had.clone()).unwrap_or_default()
    }

    /// Records what this node has had. It is on the disk when this returns.
    pub(super) fn set_had(&mut self, subject: &Subject, had: Had) -> io::Result<()> {
        if self.had(subject) == had {
            return Ok(());
        }
        self.change(|state| {
            state.had.retain(|(one, _)| one != subject);
            state.had.push((subject.clone(), had));
        })
    }

    /// A policy is in use now: those of other groups that this node was in are not.
    pub(super) fn forget_other_policies(&mut self, own: &Subject) -> io::Result<()> {
        let is_other = |subject: &Subject| matches!(subject, Subject::Policy(_)) && subject != own;
        let is_known = self.state.releases.iter().any(|(one, _)| is_other(one));
        if !is_known {
            return Ok(());
        }
        self.change(|state| {
            state.releases.retain(|(one, _)| !is_other(one));
            // The revisions stay, so that nothing older comes when the node returns.
            for (_, had) in state.had.iter_mut().filter(|(one, _)| is_other(one)) {
                had.active = None;
            }
        })
    }

    pub(super) fn bans(&self) -> BTreeSet<String> {
        self.state.bans.clone()
    }

    /// Records that a ban was made by this agent, before it is made.
    pub(super) fn add_ban(&mut self, id: &str) -> io::Result<()> {
        if self.state.bans.contains(id) {
            return Ok(());
        }
        self.change(|state| {
            state.bans.insert(id.to_owned());
        })
    }

    /// The ban is gone.
    pub(super) fn remove_ban(&mut self, id: &str) -> io::Result<()> {
        if !self.state.bans.contains(id) {
            return Ok(());
        }
        self.change(|state| {
            state.bans.remove(id);
        })
    }

    /// Changes the state. What could not be written does not hold either.
    fn change(&mut self, change: impl FnOnce(&mut State)) -> io::Result<()> {
        let mut state = self.state.clone();
        change(&mut state);
        let text = serde_json::to_vec(&state)?;
        replace(&self.directory.join(STATE), &[&text])?;
        self.state = state;
        Ok(())
    }

    /// Where the content of a list or database is, for the configuration of the daemon to name.
    pub(super) fn path(&self, subject: &Subject) -> PathBuf {
        self.directory.join(subject.path())
    }

    /// Puts a content in place and keeps the one before, for `restore`. The daemon runs as another user, so the file
    /// can be read by everybody.
    pub(super) fn put(&self, subject: &Subject, bytes: &[u8]) -> io::Result<()> {
        let path = self.path(subject);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
            fs::set_permissions(parent, fs::Permissions::from_mode(0o755))?;
        }
        let readable = || Some(fs::Permissions::from_mode(0o644));
        match fs::read(&path) {
            Ok(before) => {
                let kept = path.with_added_extension("before");
                put(
                    &kept,
                    &kept.with_added_extension("new"),
                    &[&before],
                    readable(),
                )?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        put(
            &path,
            &path.with_added_extension("new"),
            &[bytes],
            readable(),
        )
    }

    /// Puts the content before in place again; returns whether there was one.
    pub(super) fn restore(&self, subject: &Subject) -> io::Result<bool> {
        let path = self.path(subject);
        let kept = path.with_added_extension("before");
        match fs::rename(kept, &path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Name;
    use crate::node_status::Progress;

    #[test]
    fn policy_of_a_group_that_the_node_has_left_is_not_in_use() {
        let place = tempfile::tempdir().unwrap();
        let one = Subject::Policy(Name::fixed("a"));
        let other = Subject::Policy(Name::fixed("b"));
        let list = Subject::List(Name::fixed("a"));
        let mut store = Store::open(place.path()).unwrap();
        let had = Had {
            revision: 3,
            active: Some("x".to_owned()),
        };
        let status = ReleaseStatus {
            revision: 3,
            sha256: "x".to_owned(),
            progress: Progress::Active,
            why: None,
        };
        for subject in [&one, &other, &list] {
            store.set_had(subject, had.clone()).unwrap();
            store.set_release(subject, &status).unwrap();
        }
        store.forget_other_policies(&other).unwrap();
        let left = Had {
            active: None,
            ..had.clone()
        };
        assert_eq!(store.had(&one), left);
        assert_eq!([store.had(&other), store.had(&list)], [had.clone(), had]);
        let releases: Vec<_> = store.releases().into_keys().collect();
        assert_eq!(releases, [other, list]);
    }

    #[test]
    fn state_and_contents_outlive_the_agent() {
        let place = tempfile::tempdir().unwrap();
        let subject = Subject::List(Name::fixed("a"));
        let status = ReleaseStatus {
            revision: 3,
            sha256: "x".to_owned(),
            progress: Progress::Active,
            why: None,
        };
        let mut store = Store::open(place.path()).unwrap();
        store.add_ban("ban-192.0.2.1").unwrap();
        store.set_release(&subject, &status).unwrap();
        let had = Had {
            revision: 3,
            active: Some("x".to_owned()),
        };
        store.set_had(&subject, had.clone()).unwrap();
        store.put(&subject, b"one").unwrap();
        store.put(&subject, b"two").unwrap();
        let mut store = Store::open(place.path()).unwrap();
        assert_eq!(store.bans(), ["ban-192.0.2.1".to_owned()].into());
        assert_eq!(store.releases().get(&subject), Some(&status));
        assert_eq!(store.had(&subject), had);
        assert_eq!(fs::read(store.path(&subject)).unwrap(), b"two");
        assert!(store.restore(&subject).unwrap());
        assert_eq!(fs::read(store.path(&subject)).unwrap(), b"one");
        assert!(!store.restore(&subject).unwrap());
        store.remove_ban("ban-192.0.2.1").unwrap();
        fs::write(place.path().join(STATE), "{").unwrap();
        assert!(Store::open(place.path()).unwrap().releases().is_empty());
    }
}
