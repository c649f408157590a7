//! What a start could not put in place, and taking it up when it comes.
//!
//! Files are watched elsewhere, and a change of one causes a reload. Here is what no change announces: a read that
//! failed for a moment, a directory that can be written again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tracing::{debug, error, info, warn};

use super::active::ActivePolicy;
use super::attempts::Backoff;
use super::facts::Facts;
use super::reload::ReloadOptions;
use super::snapshot::database_updates;
use super::state::Daemon;
use super::sync::{lock, run_blocking};
use crate::data::geoip_update::FileState;
use crate::data::lists::ListReport;
use crate::data::lists::store::Store;
use crate::model::failure::Failure;
use crate::model::shortfall::{Part, Shortfall};

/// The longest pause between two attempts. Each compiles a policy.
const PAUSE_MAX: Duration = Duration::from_secs(600);
/// How often it is examined whether anything is missing.
const PERIOD: Duration = Duration::from_secs(1);

/// Tries again what is missing, after pauses that grow; never ends.
pub async fn recover(daemon: Arc<Daemon>) {
    let mut known = BTreeMap::new();
    loop {
        let mut backoff = Backoff::up_to(PAUSE_MAX);
        while daemon.is_incomplete() {
            daemon.log_updates(&mut known);
            sleep(backoff.pause()).await;
            daemon.try_again().await;
        }
        daemon.log_updates(&mut known);
        sleep(PERIOD).await;
    }
}

impl Daemon {
    /// Records that a part is not in place, and logs it if that is news.
    pub fn fall_short(&self, part: Part, text: impl ToString) {
        let shortfall = Shortfall::now(part, "", text);
        let mut all = lock(&self.shortfalls);
        match all.iter_mut().find(|one| one.part == part) {
            Some(known) if known.text == shortfall.text => return,
            Some(known) => known.text.clone_from(&shortfall.text),
            None => all.push(shortfall.clone()),
        }
        error!("{}", shortfall.text);
    }

    /// Records that a part is in place; returns whether it was missing.
    pub fn make_good(&self, part: Part) -> bool {
        let mut all = lock(&self.shortfalls);
        let before = all.len();
        all.retain(|one| one.part != part);
        all.len() < before
    }

    /// What a change of policy should have put in place and did not: parts of the policy, and the image on disk.
    pub fn change_shortfalls(&self) -> Vec<Shortfall> {
        let mut all = self.shortfalls();
        let of_start = |part| {
            use Part::{Control, Events, Fleet, Metrics, Samples, SessionHelper};
            matches!(
                part,
                Control | Fleet | Events | Metrics | Samples | SessionHelper
            )
        };
        all.retain(|one| !of_start(one.part));
        all
    }

    /// Everything that was asked for and is not in place, except for interfaces. Status, health, metrics, the page and
    /// the log all show this.
    pub fn shortfalls(&self) -> Vec<Shortfall> {
        let mut all = self.policy_shortfalls();
        all.extend(lock(&self.shortfalls).iter().cloned());
        all
    }

    /// What the active policy lacks.
    pub fn policy_shortfalls(&self) -> Vec<Shortfall> {
        let facts = self.facts();
        let mut all = facts.shortfalls;
        for one in facts.lists.iter().filter_map(ListReport::shortfall) {
            if !all.iter().any(|known| known.is_of(one.part, &one.name)) {
                all.push(one);
            }
        }
        all.extend(self.failed_updates());
        all
    }

    /// The databases whose last update failed.
    fn failed_updates(&self) -> Vec<Shortfall> {
        let config = Arc::clone(&lock(&self.active).config);
        let updates = database_updates(&config);
        let failed = |(file, state): &(String, FileState)| state.shortfall(file);
        updates.iter().filter_map(failed).collect()
    }

    /// The facts of the active policy, with what `geofence update` has found out since about lists that it fetches.
    pub(super) fn facts(&self) -> Facts {
        let ActivePolicy {
            config, mut facts, ..
        } = lock(&self.active).clone();
        let store = Store::of(&config.instance);
        for list in facts.lists.iter_mut().filter(|list| list.is_fetched) {
            // A status that cannot be read is not news.
            if let Ok(status) = store.status(&list.name) {
                *list = list.clone().with_status(status);
            }
        }
        facts
    }

    /// Logs lists and databases whose update has failed since the policy was read, and those whose update succeeded
    /// after that.
    fn log_updates(&self, known: &mut BTreeMap<(Part, String), Shortfall>) {
        let lists = lock(&self.active).facts.lists.clone();
        // What the policy was read with is in the log already.
        let logged: Vec<_> = lists.iter().filter_map(ListReport::shortfall).collect();
        let mut now = self.failed_updates();
        now.extend(self.facts().lists.iter().filter_map(ListReport::shortfall));
        known.retain(|(part, name), _| {
            let is_failing = now.iter().any(|one| one.is_of(*part, name));
            if !is_failing {
                let what = if *part == Part::List {
                    "list"
                } else {
                    "database"
                };
                info!("the {what} {name} is up to date again");
            }
            is_failing
        });
        for one in now {
            let key = (one.part, one.name.clone());
            let is_logged = logged
                .iter()
                .chain(known.get(&key))
                .any(|before| before.is_of(one.part, &one.name) && before.text == one.text);
            if !is_logged {
                error!("{}", one.text);
                known.insert(key, one);
            }
        }
    }

    /// Whether the active policy lacks a part, or is not what the start asked for, or could not be saved.
    fn is_incomplete(&self) -> bool {
        self.is_policy_incomplete() || self.has_unsaved_image()
    }

    fn is_policy_incomplete(&self) -> bool {
        self.is_start_incomplete.load(Ordering::Relaxed)
            || !lock(&self.active).facts.shortfalls.is_empty()
    }

    pub(super) fn has_unsaved_image(&self) -> bool {
        lock(&self.shortfalls)
            .iter()
            .any(|one| one.part == Part::State)
    }

    async fn try_again(self: &Arc<Self>) {
        if self.has_unsaved_image() {
            // A change saves the image too, under the same name.
            let _change = self.change.lock().await;
            let daemon = Arc::clone(self);
            let saving = run_blocking(move || {
                daemon.save_image();
                Ok(())
            });
            if let Err(failure) = saving.await {
                warn!("{failure}");
            }
        }
        if !self.is_policy_incomplete() {
            return;
        }
        let _change = self.change.lock().await;
        if self.is_on_trial() {
            return;
        }
        let attempted = self.attempted();
        let begun = Instant::now();
        let taken_up = self.take_up().await;
        if !matches!(taken_up, Ok(Some(_))) {
            // A file that has changed meanwhile is for a reload, whose result is reported.
            *lock(&self.attempted) = attempted;
        }
        match taken_up {
            Ok(None) => {}
            Ok(Some(generation)) => {
                lock(&self.reloads).count(&Ok(generation), begun.elapsed());
                self.is_start_incomplete.store(false, Ordering::Relaxed);
                info!("the missing parts are available: image {generation} is active");
            }
            // Nothing changed since the failure that was reported.
            Err(failure) => debug!("tried again without success: {failure}"),
        }
    }

    /// Activates the requested policy if less is missing than before; returns the image's generation.
    async fn take_up(self: &Arc<Self>) -> Result<Option<u32>, Failure> {
        let daemon = Arc::clone(self);
        let candidate = run_blocking(move || daemon.candidate(None, false)).await?;
        let is_better = self.is_start_incomplete.load(Ordering::Relaxed)
            || candidate.facts.shortfalls.len() < lock(&self.active).facts.shortfalls.len();
        if !is_better {
            return Ok(None);
        }
        let candidate = self
            .check_lockout(candidate, ReloadOptions::automatic())
            .await?;
        let daemon = Arc::clone(self);
        run_blocking(move || daemon.activate(candidate).map(Some)).await
    }
}
