//! The daemon's state, shared by its tasks: the loaded filter, where it is attached, and what is known of its image.
//!
//! The daemon controls and observes. The kernel filters whether or not this process runs, and the next daemon finds
//! everything it needs there.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};

use tokio::sync::watch::Sender;

use super::active::{ActivePolicy, Trial};
use super::candidate::{Candidate, store_lists};
use super::config_source::ConfigSource;
use super::event_names::{CounterIds, EventNames};
use super::events::RecentEvents;
use super::facts::{LastFailure, Reloads};
use super::heartbeat::Heartbeat;
use super::history::History;
use super::interface_state::InterfaceState;
use super::observation_state::ObservationState;
use super::privilege::Privilege;
use super::recent_counts::RecentCounts;
use super::refusals::Refusals;
use super::runtime_exceptions::{Promises, RuntimeExceptionStore};
use super::sinks::Sinks;
use super::sync::lock;
use crate::data::lists::store::Store;
use crate::kernel::{Filter, Pins, Placed};
use crate::model::shortfall::{Part, Shortfall};
use crate::os::file_stamps::FileStamps;
use crate::os::state::StateDirectory;

/// A filter and everything that the daemon keeps for it.
pub struct Daemon {
    pub(super) pins: Pins,
    pub(super) privilege: Privilege,
    pub(super) state: StateDirectory,
    pub(super) exception_store: RuntimeExceptionStore,
    /// The runtime exceptions that were added for a duration.
    pub(super) promises: Mutex<Promises>,
    /// The line that the service manager got last.
    pub(super) service_line: Mutex<String>,
    pub(super) source: ConfigSource,
    /// The stamps of the files that the last reload read, taken before it read them.
    pub(super) attempted: Mutex<FileStamps>,
    pub(super) filter: Mutex<Filter>,
    pub(super) active: Mutex<ActivePolicy>,
    pub heartbeat: Arc<Heartbeat>,
    pub(super) interfaces: Mutex<Vec<InterfaceState>>,
    /// Held while interfaces are examined: what was listed before another examination attached is no longer true.
    pub(super) examination: tokio::sync::Mutex<()>,
    pub(super) reloads: Mutex<Reloads>,
    /// Parts beside the policy that are not in place.
    pub(super) shortfalls: Mutex<Vec<Shortfall>>,
    /// Whether the requested policy has never been active.
    pub(super) is_start_incomplete: AtomicBool,
    pub(super) trial: Mutex<Option<Trial>>,
    /// Where the metrics are, once the address is bound.
    pub(super) metrics_url: Mutex<Option<String>>,
    pub(super) names: Mutex<EventNames>,
    pub(super) recent: Mutex<RecentEvents>,
    pub(super) recent_counts: Mutex<RecentCounts>,
    pub(super) history: Mutex<History>,
    pub(super) refusals: Mutex<Refusals>,
    /// How many list events there have been; wakes clients that wait for the next.
    pub(super) event_count: Sender<u64>,
    /// The same of samples of drops, and of captured frames.
    pub(super) sample_count: Sender<u64>,
    pub(super) frame_count: Sender<u64>,
    pub(super) observation: Mutex<ObservationState>,
    /// Where events go, once that is set up.
    pub(super) sinks: OnceLock<Sinks>,
    /// Held by whatever changes the policy, so that one change is made at a time.
    pub(super) change: tokio::sync::Mutex<()>,
}

impl Daemon {
    /// A daemon for a filter that is in place. `last_failure` is why that filter is not the one requested.
    #[must_use]
    pub fn new(
        filter: Filter,
        placed: Vec<Placed>,
        mut candidate: Candidate,
        (source, attempted): (ConfigSource, FileStamps),
        last_failure: Option<LastFailure>,
        privilege: Privilege,
    ) -> Self {
        let instance = &candidate.config.instance;
        let is_new = |one: &&Placed| one.attached.as_ref().is_ok_and(|one| !one.is_adopted);
        let attached = placed.iter().filter(is_new);
        let attached = attached.map(|one| one.interface.clone()).collect();
        StateDirectory::of(instance).remove_unfinished();
        Store::of(instance).remove_unfinished();
        store_lists(std::mem::take(&mut candidate.lists), instance);
        let ids = CounterIds::of(&candidate.config);
        let mut names = EventNames::default();
        names.add(&candidate.config);
        let daemon = Self {
            pins: Pins::of(instance),
            privilege,
            state: StateDirectory::of(instance),
            exception_store: RuntimeExceptionStore::of(instance),
            promises: Mutex::default(),
            service_line: Mutex::default(),
            source,
            attempted: Mutex::new(attempted),
            filter: Mutex::new(filter),
            heartbeat: Arc::default(),
            interfaces: Mutex::new(placed.into_iter().map(InterfaceState::new).collect()),
            examination: tokio::sync::Mutex::new(()),
            is_start_incomplete: AtomicBool::new(last_failure.is_some()),
            reloads: Mutex::new(Reloads::new(last_failure)),
            shortfalls: Mutex::new(Vec::new()),
            trial: Mutex::new(None),
            metrics_url: Mutex::new(None),
            names: Mutex::new(names),
            recent: Mutex::new(RecentEvents::default()),
            recent_counts: Mutex::default(),
            refusals: Mutex::default(),
            history: Mutex::new(History::of(&StateDirectory::of(instance))),
            event_count: Sender::new(0),
            sample_count: Sender::new(0),
            frame_count: Sender::new(0),
            observation: Mutex::default(),
            sinks: OnceLock::new(),
            change: tokio::sync::Mutex::new(()),
            active: Mutex::new(ActivePolicy::of(candidate)),
        };
        daemon.remove_other_counters(&ids);
        daemon.begin_history(&attached);
        if let Some(error) = &daemon.privilege.helper_error {
            daemon.fall_short(
                Part::SessionHelper,
                format!(
                    "cannot start the SSH session helper, so reloads count every connection to port 22 as a session \
                     until geofence is restarted; a later start of the helper needs CAP_SYS_PTRACE: {error}"
                ),
            );
        }
        daemon
    }

    /// How the reloads went, and why the active policy is not the last one requested, if it is not.
    pub fn reloads(&self) -> Reloads {
        lock(&self.reloads).clone()
    }

    /// Records where the metrics are.
    pub fn set_metrics_url(&self, url: Option<String>) {
        *lock(&self.metrics_url) = url;
    }

    /// Removes the kernel's counters of lists, tenants and services that are no longer configured.
    pub(super) fn remove_other_counters(&self, ids: &CounterIds) {
        let is_last_good = lock(&self.active).facts.is_last_good;
        let mut filter = lock(&self.filter);
        let lists = filter.retain_list_counters(&ids.lists, &ids.tenants);
        let services = if is_last_good {
            // Its services are not those of the configuration.
            Ok(())
        } else {
            filter.retain_services(&ids.services)
        };
        for (counters, result) in [("lists", lists), ("services", services)] {
            if let Err(error) = result {
                tracing::warn!(
                    "cannot remove the counters of {counters} that are no longer configured: {error}"
                );
            }
        }
    }
}
