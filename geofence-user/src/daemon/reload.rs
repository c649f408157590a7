//! Reloading: another policy or other data in place of what filters now, with one swap or not at all.
//!
//! Everything that can be wrong is found before the kernel is touched. Whatever fails, the image in use stays, and the
//! failure is told to whoever asked, written to the log, counted, and shown until a reload succeeds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use tracing::{error, info, warn};

use super::{Current, Daemon, lock};
use crate::checks::lockout::{self, Dependency};
use crate::config::Config;
use crate::daemon::candidate::Candidate;
use crate::daemon::events::Identities;
use crate::daemon::file_watch::Files;
use crate::data::lists::store::Store;
use crate::data::lists::{self, Loaded};
use crate::model::failure::{Cause, Failure};
use crate::model::policy::NewNumbers;
use crate::os::instance::Instance;
use crate::os::memory;
use crate::prepare::{now, options};

/// Where the configuration is read again.
pub struct Source {
    /// The file, if there is one; a change of it is a reason to reload.
    pub file: Option<PathBuf>,
    /// Reads this file instead of it, if one is named.
    pub read: Box<Read>,
}

type Read = dyn Fn(Option<&Path>) -> anyhow::Result<Config> + Send + Sync;

impl Source {
    /// Reads the configuration, or another file in its place, and answers with the files that what comes of it depends
    /// on, as they were before any of them was read. When the configuration cannot be read, these are the files tried
    /// before.
    pub fn read(&self, instead: Option<&Path>, tried: &Files) -> (anyhow::Result<Config>, Files) {
        let (own, tried) = (Files::look(&self.file), tried.look_again());
        match (self.read)(instead) {
            Ok(config) => {
                let lists = lists::files(&config.lists, &Store::of(&config.instance));
                let files = own
                    .and(Files::look(&config.databases))
                    .and(Files::look(&config.cross_check_databases))
                    .and(Files::look(&config.asn_database))
                    .and(Files::look(&lists));
                (Ok(config), files)
            }
            Err(error) => (Err(error), tried.and(own)),
        }
    }
}

/// Why what filters is not what was asked for.
#[derive(Clone, Debug)]
pub struct Trouble {
    pub failure: Failure,
    /// Seconds since 1970.
    pub since: u64,
}

impl Trouble {
    #[must_use]
    pub fn now(failure: Failure) -> Self {
        Self {
            failure,
            since: now(),
        }
    }
}

/// What became of the reloads.
#[derive(Clone, Debug)]
pub struct Reloads {
    pub succeeded: u64,
    /// By cause; every cause is there.
    pub failed: BTreeMap<Cause, u64>,
    pub trouble: Option<Trouble>,
}

impl Reloads {
    pub fn new(trouble: Option<Trouble>) -> Self {
        Self {
            succeeded: 0,
            failed: Cause::ALL.map(|cause| (cause, 0)).into(),
            trouble,
        }
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "succeeded": self.succeeded,
            "failed": self.failed.values().sum::<u64>(),
            "trouble": self.trouble.as_ref().map(|trouble| json!({
                "cause": trouble.failure.cause.name(),
                "text": trouble.failure.text,
                "since": trouble.since,
            })),
        })
    }
}

/// What is asked of a reload beyond the files.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// Take data that the guard does not believe, and cut off whom the machine needs.
    pub force: bool,
    /// Whom the one who asks needs, besides those that the daemon knows of.
    pub needed: Vec<Dependency>,
}

impl Daemon {
    /// Reads configuration and data again and puts them in place; answers with the image's number.
    ///
    /// # Errors
    /// Why the image in use stays.
    pub async fn reload(self: &Arc<Self>, wishes: Wishes) -> Result<u32, Failure> {
        let _turn = self.turn.lock().await;
        let result = self.attempt(wishes).await;
        memory::give_back();
        let mut reloads = lock(&self.reloads);
        match &result {
            Ok(generation) => {
                reloads.succeeded += 1;
                reloads.trouble = None;
                info!("reloaded: image {generation} is in place");
            }
            Err(failure) => {
                *reloads.failed.entry(failure.cause).or_default() += 1;
                reloads.trouble = Some(Trouble::now(failure.clone()));
                error!("not reloaded, the policy in use stays: {failure}");
            }
        }
        result
    }

    async fn attempt(self: &Arc<Self>, wishes: Wishes) -> Result<u32, Failure> {
        let daemon = Arc::clone(self);
        self.refuse_on_trial()?;
        let candidate = aside(move || daemon.candidate(None, wishes.force)).await?;
        for warning in &candidate.warnings {
            warn!("{warning}");
        }
        self.keep_access(&candidate, wishes).await?;
        let daemon = Arc::clone(self);
        aside(move || daemon.put_in_place(candidate)).await
    }

    /// The files as they are now, read, compiled and judged.
    pub(super) fn candidate(
        &self,
        instead: Option<&Path>,
        force: bool,
    ) -> Result<Candidate, Failure> {
        let (config, files) = self.source.read(instead, &self.tried());
        *lock(&self.tried) = files;
        let config =
            config.map_err(|error| Failure::new(Cause::Configuration, format!("{error:#}")))?;
        let mut config = self.grants.add_to(config)?;
        let Current {
            config: before,
            image,
            facts,
            kept,
            ..
        } = lock(&self.current).clone();
        let fixed = |before: &Config| options(before, &image, false).flows;
        let room = lock(&self.filter).options();
        let exceptions = config.policy.exceptions.len() + config.policy.protections.len();
        let changed = [
            ("interfaces", config.interfaces != before.interfaces),
            ("xdp-mode", config.xdp_mode != before.xdp_mode),
            ("lookup", config.policy.lookup != before.policy.lookup),
            ("listen", config.listen != before.listen),
            ("instance", config.instance != before.instance),
            (
                "capacity-mib",
                config.image_capacity != before.image_capacity,
            ),
            ("replies or flows", fixed(&config) != fixed(&before)),
            (
                "whether there is a bound on pressure",
                config.policy.rate_limit.is_some() && before.policy.rate_limit.is_none(),
            ),
            (
                "the room for tenants",
                config.policy.tenants.len() >= room.tenants as usize,
            ),
            (
                "the room for exceptions",
                exceptions > room.exceptions as usize,
            ),
        ];
        let changed: Vec<_> = changed
            .into_iter()
            .filter_map(|(key, is_changed)| is_changed.then_some(key))
            .collect();
        if !changed.is_empty() {
            return Err(Failure::new(
                Cause::Restart,
                format!(
                    "{} cannot change while geofence runs; nothing of the new configuration is in use. Restart \
                     geofence, which leaves no gap",
                    changed.join(", ")
                ),
            ));
        }
        let new_numbers = config.policy.keep_numbers(&before.policy);
        let slot = lock(&self.filter).next_slot();
        let mut candidate = Candidate::prepare(config, Some(&image), kept.as_ref(), slot, force)?;
        candidate.keep_systems(facts.systems, force)?;
        Ok(Candidate {
            new_numbers,
            ..candidate
        })
    }

    pub(super) async fn keep_access(
        &self,
        candidate: &Candidate,
        wishes: Wishes,
    ) -> Result<(), Failure> {
        let watcher = self.privilege.watcher.as_ref();
        let (mut needed, unknown) =
            lockout::dependencies(&candidate.config.interfaces, watcher).await;
        for sentence in unknown {
            warn!("{sentence}");
        }
        needed.extend(wishes.needed);
        needed.sort_unstable();
        needed.dedup();
        candidate.keep_access(&needed, wishes.force)
    }

    pub(super) fn put_in_place(&self, candidate: Candidate) -> Result<u32, Failure> {
        self.clear_new(&candidate)?;
        let identities = Identities::of(&candidate.config);
        lock(&self.filter)
            .install(&candidate.image, candidate.tries.as_ref())
            .map_err(Failure::from)?;
        let generation = candidate.image.generation();
        self.replace_current(candidate);
        self.forget_lists_but(&identities);
        self.keep_image();
        Ok(generation)
    }

    /// Has the counters of new tenants and exceptions start anew, and makes those of new lists, before anything is
    /// counted in them.
    pub(super) fn clear_new(&self, candidate: &Candidate) -> Result<(), Failure> {
        self.count_lists(&Identities::of(&candidate.config))?;
        let mut filter = lock(&self.filter);
        let NewNumbers { tenants, slots } = &candidate.new_numbers;
        let clear = tenants
            .iter()
            .map(|number| (true, *number))
            .chain(slots.iter().map(|slot| (false, *slot)));
        for (is_tenant, number) in clear {
            let cleared = if is_tenant {
                filter.clear_tenant(number)
            } else {
                filter.clear_hits(number)
            };
            cleared.map_err(Failure::from)?;
        }
        Ok(())
    }

    /// Notes what filters now, and answers with what did before.
    pub(super) fn replace_current(&self, mut candidate: Candidate) -> Current {
        let lists = std::mem::take(&mut candidate.lists);
        let current = Current::of(candidate);
        let instance = current.config.instance.clone();
        lock(&self.names).learn(&current.config);
        let before = std::mem::replace(&mut *lock(&self.current), current);
        keep_lists(lists, &instance);
        before
    }

    /// The files of the last attempt, as they were then: while they stay so, another would end the same way.
    #[must_use]
    pub fn tried(&self) -> Files {
        lock(&self.tried).clone()
    }

    /// Whether an entry of a list has lapsed that the image in use still has.
    #[must_use]
    pub fn has_lapsed(&self) -> bool {
        lock(&self.current)
            .lapses
            .is_some_and(|lapses| lapses <= now())
    }

    /// Keeps the image in use for a boot without a database.
    pub fn keep_image(&self) {
        let image = Arc::clone(&lock(&self.current).image);
        if let Err(error) = self.state.save(&image) {
            warn!("a boot without a database would not filter by this image: {error}");
        }
    }
}

/// Keeps the lists that filter, to fall back on.
pub(super) fn keep_lists(mut lists: Loaded, instance: &Instance) {
    if let Err(error) = lists.keep(&Store::of(instance)) {
        warn!("there would be no last good list to fall back on: {error}");
    }
}

/// Does what takes a while where it keeps nobody waiting.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Failure::new(Cause::Internal, error)),
    }
}
