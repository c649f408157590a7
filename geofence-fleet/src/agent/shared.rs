//! What the tasks of an agent share: what the fleet wants, and how far this node is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::Result;
use geofence_user::config::ExceptionSpec;
use tokio::sync::{Notify, watch};

use super::daemon::DaemonClient;
use super::store::Store;
use super::traffic::Traffic;
use crate::engine::Engine;
use crate::keys::{Keys, Name, Subject};
use crate::node_status::ReleaseStatus;
use crate::release::Release;
use crate::settings::Settings;
use crate::signature::VerifyKey;

/// What the fleet wants, up to a revision of the engine.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// Exceptions and bans, by the daemon's name of them.
    pub(super) exceptions: BTreeMap<String, ExceptionSpec>,
    /// Exceptions and bans that this agent cannot read, and why. What they were before holds.
    pub(super) unreadable: BTreeMap<String, String>,
    pub(super) releases: BTreeMap<Subject, Release>,
    pub(super) is_frozen: bool,
    /// The group that the operator has put this node in; nothing until the engine was read once.
    pub(super) group: Option<Name>,
    /// The engine's revision; nothing until the engine was read once. Before that, nothing is removed.
    pub(super) revision: Option<i64>,
}

/// How far this node is.
#[derive(Clone, Debug, Default)]
pub(super) struct Done {
    /// The revision up to which exceptions and bans are in line.
    pub(super) revision: i64,
    pub(super) exceptions: usize,
    pub(super) bans: usize,
    pub(super) refused: BTreeMap<String, String>,
    pub(super) releases: BTreeMap<Subject, ReleaseStatus>,
}

/// The connection to the engine.
#[derive(Default)]
pub(super) struct Connection {
    pub(super) engine: Option<Engine>,
    /// When the engine was heard last.
    pub(super) heard: Option<Instant>,
    pub(super) losses: u64,
}

/// What the tasks share.
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) node: Name,
    pub(super) keys: Keys,
    pub(super) verify_key: VerifyKey,
    pub(super) daemon: DaemonClient,
    pub(super) store: Mutex<Store>,
    pub(super) wanted: watch::Sender<Wanted>,
    pub(super) done: Mutex<Done>,
    /// `done` has changed.
    pub(super) progress: Notify,
    pub(super) connection: Mutex<Connection>,
    pub(super) traffic: Mutex<Traffic>,
}

/// Locks what no task holds while it waits.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(
        settings: Settings,
        node: Name,
        verify_key: VerifyKey,
        store: Store,
    ) -> Result<Self> {
        let done = Done {
            releases: store.releases(),
            ..Done::default()
        };
        Ok(Self {
            keys: Keys::of(&settings.fleet),
            daemon: DaemonClient::of(settings.instance()?),
            settings,
            node,
            verify_key,
            store: Mutex::new(store),
            wanted: watch::Sender::new(Wanted::default()),
            done: Mutex::new(done),
            progress: Notify::new(),
            connection: Mutex::default(),
            traffic: Mutex::default(),
        })
    }

    /// The engine, if it is connected.
    pub(super) fn engine(&self) -> Option<Engine> {
        lock(&self.connection).engine.clone()
    }

    /// Changes how far this node is, and says so.
    pub(super) fn advance(&self, change: impl FnOnce(&mut Done)) {
        change(&mut lock(&self.done));
        self.progress.notify_one();
    }

    /// The releases that this node follows: those of its group, every list and every database.
    pub(super) fn own_releases(wanted: &Wanted) -> Vec<(Subject, Release)> {
        let group = wanted.group.as_ref();
        let all = wanted.releases.iter();
        all.filter(|(subject, _)| subject.is_followed_in(group))
            .map(|(subject, release)| (subject.clone(), release.clone()))
            .collect()
    }

    /// The bans that this agent has made, and not an operator of this machine.
    pub(super) fn own_bans(&self) -> BTreeSet<String> {
        lock(&self.store).bans()
    }
}
