//! Reloading: another policy or other data replaces what is active, in one swap or not at all.
//!
//! Everything that can be wrong is found before the kernel is touched. If a reload fails, the active policy stays; the
//! failure is returned to the caller, logged, counted, and shown until a reload succeeds.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tracing::{error, info, warn};

use super::active::ActivePolicy;
use super::candidate::{Base, Candidate, store_lists};
use super::event_names::CounterIds;
use super::state::Daemon;
use super::sync::{lock, run_blocking};
use crate::checks::lockout::{self, Dependency};
use crate::config::{Config, ConfigText};
use crate::model::failure::{Cause, Failure};
use crate::model::policy::{MailDns, NewNumbers};
use crate::model::shortfall::{Part, Tolerance};
use crate::model::units::UnixSeconds;
use crate::os::file_stamps::FileStamps;
use crate::os::memory;
use crate::os::name_servers;
use crate::os::notify;
use crate::os::restart;
use crate::os::state::StateError;
use crate::prepare::filter_options;

/// What a request for a new policy adds to the files. The names of the fields are those of the control protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReloadOptions {
    /// Accept data that the sanity check rejects, and a policy that locks out required peers.
    pub force: bool,
    /// Peers that the client requires, besides those the daemon finds itself.
    #[serde(rename = "needed")]
    pub required_peers: Vec<Dependency>,
    /// Accept again that the policy locks out the peers that `force` has accepted before. No client can ask for this.
    #[serde(skip)]
    pub keeps_accepted: bool,
}

impl ReloadOptions {
    /// For a reload that no operator has asked for.
    #[must_use]
    pub fn automatic() -> Self {
        Self {
            keeps_accepted: true,
            ..Self::default()
        }
    }
}

impl Daemon {
    /// Reads configuration and data again and activates them; returns the image's generation.
    ///
    /// # Errors
    /// Why the active policy stays.
    pub async fn reload(self: &Arc<Self>, options: ReloadOptions) -> Result<u32, Failure> {
        let _change = self.change.lock().await;
        // A service manager that cannot be reached is reported by the heartbeat.
        let _ = notify::reloading();
        let begun = Instant::now();
        let result = self.try_reload(options).await;
        lock(&self.reloads).count(&result, begun.elapsed());
        if result.is_ok() {
            self.is_start_incomplete.store(false, Ordering::Relaxed);
        }
        self.report_reloaded().await;
        memory::give_back();
        match &result {
            Ok(generation) => {
                info!("reloaded: image {generation} is active");
                for gap in self.gaps().await {
                    warn!("{gap}, so image {generation} filters nothing there");
                }
            }
            Err(failure) => error!("reload failed, the active policy stays: {failure}"),
        }
        result
    }

    async fn try_reload(self: &Arc<Self>, options: ReloadOptions) -> Result<u32, Failure> {
        self.refuse_on_trial()?;
        let candidate = self.checked_candidate(None, options).await?;
        let daemon = Arc::clone(self);
        run_blocking(move || daemon.activate(candidate)).await
    }

    /// A candidate from the files as they are now, after every check that a new policy has to pass.
    pub(super) async fn checked_candidate(
        self: &Arc<Self>,
        instead: Option<&Path>,
        options: ReloadOptions,
    ) -> Result<Candidate, Failure> {
        let daemon = Arc::clone(self);
        let (instead, force) = (instead.map(Path::to_path_buf), options.force);
        let candidate = run_blocking(move || daemon.candidate(instead.as_deref(), force)).await?;
        for warning in &candidate.warnings {
            warn!("{warning}");
        }
        for shortfall in &candidate.facts.shortfalls {
            warn!("{}", shortfall.text);
        }
        self.check_lockout(candidate, options).await
    }

    pub(super) fn candidate(
        &self,
        instead: Option<&Path>,
        force: bool,
    ) -> Result<Candidate, Failure> {
        let (config, files) = self.source.read(instead, &self.attempted());
        *lock(&self.attempted) = files;
        let config =
            config.map_err(|error| Failure::new(Cause::Configuration, format!("{error:#}")))?;
        let active = lock(&self.active).clone();
        let config = self.with_runtime_exceptions(config, &active)?;
        self.refuse_fixed(&config, &active)?;
        let mut candidate = self.prepare(config, &active, force)?;
        candidate.check_asn_data(active.facts.asn_data, force)?;
        Ok(candidate)
    }

    /// Prepares a candidate that keeps the counters of tenants and exceptions that the active policy has.
    pub(super) fn prepare(
        &self,
        mut config: Config,
        active: &ActivePolicy,
        force: bool,
    ) -> Result<Candidate, Failure> {
        let new_numbers = config.policy.keep_numbers(&active.config.policy);
        let slot = lock(&self.filter).next_slot();
        // What the active policy goes without already is no reason to refuse another change.
        let tolerance = Tolerance::Known(&active.facts.shortfalls);
        let passed = self.passed();
        let base = Base {
            passed: Some(&passed),
            ..active.base(slot)
        };
        let candidate = Candidate::prepare(config, base, force, tolerance)?;
        Ok(Candidate {
            new_numbers,
            accepted: active.accepted.clone(),
            ..candidate
        })
    }

    /// Refuses a change of a setting that the kernel's maps or the daemon's sockets were made for.
    fn refuse_fixed(&self, config: &Config, active: &ActivePolicy) -> Result<(), Failure> {
        let before = &active.config;
        let flows = |config: &Config| filter_options(config, &active.image, false).flows;
        let file_bounds = |config: &Config| (config.events.file_mib, config.events.file_count);
        let room = lock(&self.filter).options();
        let exceptions = config.policy.exceptions.len() + config.policy.protections.len();
        let fixed = [
            ("interfaces", config.interfaces != before.interfaces),
            ("xdp-mode", config.xdp_mode != before.xdp_mode),
            ("lookup", config.policy.lookup != before.policy.lookup),
            ("listen", config.listen != before.listen),
            ("listen-names", config.listen_names != before.listen_names),
            ("web-config", config.web_config != before.web_config),
            ("fleet-user", config.fleet_user != before.fleet_user),
            ("instance", config.instance != before.instance),
            ("event-file", config.events.file != before.events.file),
            (
                "event-file-mib or event-file-count",
                file_bounds(config) != file_bounds(before),
            ),
            ("event-syslog", config.events.syslog != before.events.syslog),
            (
                "event-syslog-ca",
                config.events.syslog_ca != before.events.syslog_ca,
            ),
            ("event-ipfix", config.events.ipfix != before.events.ipfix),
            (
                "capacity-mib",
                config.image_capacity != before.image_capacity,
            ),
            ("replies or flows", flows(config) != flows(before)),
            (
                "whether there is a rate limit",
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
        let changed = fixed.iter().filter(|(_, is_changed)| *is_changed);
        let changed: Vec<_> = changed.map(|(name, _)| *name).collect();
        if changed.is_empty() {
            return Ok(());
        }
        Err(Failure::new(
            Cause::Restart,
            format!(
                "{} cannot change while geofence runs, so the new configuration was rejected as a whole. To use it, \
                 restart geofence with {}; the filter stays attached meanwhile",
                changed.join(", "),
                restart::how()
            ),
        ))
    }

    /// Refuses a candidate that locks out a required peer, unless the options accept that; returns it with the peers
    /// that are accepted.
    pub(super) async fn check_lockout(
        &self,
        mut candidate: Candidate,
        options: ReloadOptions,
    ) -> Result<Candidate, Failure> {
        let watcher = self.privilege.watcher.as_ref();
        let interfaces = &candidate.config.interfaces;
        let (mut required, unknown) = lockout::dependencies(interfaces, watcher).await;
        for sentence in unknown {
            warn!("{sentence}");
        }
        required.extend(candidate.fleet_servers());
        required.extend(options.required_peers);
        required.sort_unstable();
        required.dedup();
        candidate.check_lockout(&required, options.force, options.keeps_accepted)?;
        Ok(candidate)
    }

    /// Makes a candidate the active policy; returns the image's generation.
    pub(super) fn activate(&self, candidate: Candidate) -> Result<u32, Failure> {
        self.reset_counters(&candidate)?;
        let ids = CounterIds::of(&candidate.config);
        lock(&self.filter).install(&candidate.image, candidate.tries.as_ref())?;
        let generation = candidate.image.generation();
        self.replace_active(candidate);
        self.remove_other_counters(&ids);
        self.save_image();
        Ok(generation)
    }

    /// Resets the counters of new tenants and exceptions, and makes those of new lists and services, before the
    /// candidate counts in them.
    pub(super) fn reset_counters(&self, candidate: &Candidate) -> Result<(), Failure> {
        let mut filter = lock(&self.filter);
        let ids = CounterIds::of(&candidate.config);
        filter.count_lists(&ids.lists)?;
        filter.count_services(&ids.services)?;
        let NewNumbers { tenants, slots } = &candidate.new_numbers;
        for number in tenants {
            filter.clear_tenant(*number)?;
        }
        for slot in slots {
            filter.clear_hits(*slot)?;
        }
        Ok(())
    }

    /// Stores what the kernel filters by now; returns what it filtered by before.
    pub(super) fn replace_active(&self, mut candidate: Candidate) -> ActivePolicy {
        let lists = std::mem::take(&mut candidate.lists);
        let active = ActivePolicy::of(candidate);
        let instance = active.config.instance.clone();
        lock(&self.names).add(&active.config);
        let before = std::mem::replace(&mut *lock(&self.active), active);
        store_lists(lists, &instance);
        // What fails is tried again, and reported, by the task that watches the observers.
        let _ = self.refresh_observation();
        before
    }

    /// The stamps of the files that the last reload read: while they stay the same, another ends the same way.
    pub(super) fn attempted(&self) -> FileStamps {
        lock(&self.attempted).clone()
    }

    /// Whether the active image has an entry of a list, or an override of the country data, that has expired.
    pub(super) fn has_expired_entries(&self) -> bool {
        let next = lock(&self.active).next_expiry;
        next.is_some_and(|next| next <= UnixSeconds::now())
    }

    /// Whether name servers listen now where none did when the active policy was made, or the reverse.
    pub(super) fn has_other_name_servers(&self) -> bool {
        let config = Arc::clone(&lock(&self.active).config);
        let policy = &config.policy;
        policy.mail_dns == MailDns::Auto
            && policy.name_servers != name_servers::on_interfaces(&config.interfaces)
    }

    /// Saves the active image and the configuration it came with, for a boot at which either cannot be read. An image
    /// that lacks more than lists is worse than an earlier one.
    pub fn save_image(&self) {
        let active = lock(&self.active).clone();
        let mut shortfalls = active.facts.shortfalls.iter();
        if !shortfalls.all(|one| one.part == Part::List) {
            return;
        }
        let saved = self.state.save(&active.image);
        let types = || self.state.save_database_types(&active.facts.database_types);
        let accepted = || self.state.save_accepted_peers(&active.accepted);
        let saved = saved.and_then(|()| types()).and_then(|()| accepted());
        match saved.and_then(|()| self.save_configuration()) {
            Ok(()) => {
                if self.make_good(Part::State) {
                    info!("the active image is saved");
                }
            }
            Err(_) if !self.state.exists() => self.fall_short(Part::State, self.state.loss()),
            Err(error) => self.fall_short(
                Part::State,
                format!(
                    "cannot save the active image, so a boot without a configuration or database filters by an \
                     earlier one or not at all: {error}. geofence keeps trying. If the directory was recreated after \
                     the start, geofence may not write to it: restart geofence with {}, which leaves no gap",
                    restart::how()
                ),
            ),
        }
    }

    /// Saves the text of the configuration, if it is one: the file may have changed since it was read.
    pub(super) fn save_configuration(&self) -> Result<(), StateError> {
        let Some(path) = &self.source.file else {
            return Ok(());
        };
        let text = ConfigText::read(path).and_then(|text| text.config().and(text.merged()));
        match text {
            Ok(text) => self.state.save_configuration(&text),
            Err(_) => Ok(()),
        }
    }
}
