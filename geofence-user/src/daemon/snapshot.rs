//! Reads everything that a scrape, the page and `geofence status` show of a running filter, at one moment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use geofence_common::action::Action;
use geofence_common::country::Country;
use geofence_common::flow::Table;
use sha2::{Digest as _, Sha256};

use super::active::ActivePolicy;
use super::facts::{ImageBytes, InterfaceCounters, ListCount, ListCounts, Snapshot, TenantCounts};
use super::state::Daemon;
use super::sync::lock;
use crate::checks::diff::Described;
use crate::config::Config;
use crate::data::geoip_update::{FileState, StateFile};
use crate::kernel::{Filter, KernelError, TableFacts};
use crate::model::geoip_source::GeoipSource;
use crate::model::policy::Policy;
use crate::model::units::UnixSeconds;

/// The keys that are about the machine and not about the policy, so that machines with one policy have one hash.
const OF_THE_MACHINE: [&str; 17] = [
    "interfaces",
    "inner-interfaces",
    "xdp-mode",
    "listen",
    "listen-names",
    "web-config",
    "fleet-user",
    "instance",
    "capacity-mib",
    "drop-events",
    "drop-event-rate",
    "event-file",
    "event-file-mib",
    "event-file-count",
    "event-syslog",
    "event-syslog-ca",
    "event-ipfix",
];
/// How many bytes of the digest are shown: enough to tell policies apart.
const HASH_BYTES: usize = 8;
/// The hash of the last good image, whose configuration is not known.
const UNKNOWN: &str = "unknown";
/// A scrape waits for the hash of a policy with so many exceptions and tenants.
const ENTRIES_AT_ONCE: usize = 1000;
const LINE_BYTES: u64 = size_of::<geofence_common::image::Line>() as u64;

impl Daemon {
    /// Reads every counter.
    pub async fn snapshot(&self) -> Result<Snapshot, KernelError> {
        let begun = Instant::now();
        let states = self.protection().await;
        let active = lock(&self.active).clone();
        let policy_hash = policy_hash(&active).await;
        let lists = self.list_counts()?;
        let observed = self.observed()?;
        let filter = lock(&self.filter);
        let mut interfaces = Vec::with_capacity(states.len());
        for state in states {
            interfaces.push(InterfaceCounters {
                counters: filter.counters(state.slot)?,
                is_protected: state.is_protected(),
                unprotected: state.unprotected(),
                mode: state.mode(),
                name: state.name,
                driver: state.driver.unwrap_or_default(),
            });
        }
        let mut flows = [TableFacts::default(); Table::ALL.len()];
        for (facts, table) in flows.iter_mut().zip(Table::ALL) {
            *facts = filter.table_facts(table)?;
        }
        let ActivePolicy { config, image, .. } = active;
        Ok(Snapshot {
            interfaces,
            flows,
            tenants: tenant_counts(&filter, &config.policy, self.kernel_time())?,
            lists,
            services: filter.service_counts()?,
            database_updates: database_updates(&config),
            observed,
            facts: self.facts(),
            settings: config.policy.settings.clone(),
            policy_hash,
            image_bytes: ImageBytes {
                size: image.size() as u64,
                capacity: u64::from(filter.options().image_lines) * LINE_BYTES,
            },
            is_on_trial: self.is_on_trial(),
            reloads: self.reloads(),
            shortfalls: self.shortfalls(),
            took: begun.elapsed(),
        })
    }

    /// The packets that have come in and passed, by country; those of an interface whose counters cannot be read are
    /// left out.
    pub(super) fn passed(&self) -> BTreeMap<Country, u64> {
        let states = lock(&self.interfaces).clone();
        let filter = lock(&self.filter);
        let mut passed = BTreeMap::new();
        for counters in states
            .iter()
            .filter_map(|state| filter.counters(state.slot).ok())
        {
            for ((country, action, _), counter) in counters {
                if action == Action::Pass {
                    *passed.entry(country).or_default() += counter.packets;
                }
            }
        }
        passed
    }

    pub(super) fn list_counts(&self) -> Result<ListCounts, KernelError> {
        let counts = lock(&self.filter).list_counts()?;
        let names = lock(&self.names);
        let config = Arc::clone(&lock(&self.active).config);
        let mut lists: ListCounts = config
            .lists
            .iter()
            .map(|list| {
                let count = ListCount {
                    direction: list.direction,
                    tenants: BTreeMap::from([(String::new(), Default::default())]),
                };
                (list.name.clone(), count)
            })
            .collect();
        for (key, counters) in counts {
            if let Some(list) = lists.get_mut(&names.list(key.list)) {
                let tenant = names.tenant(key.tenant).unwrap_or_default();
                *list.tenants.entry(tenant).or_default() += counters;
            }
        }
        Ok(lists)
    }
}

/// The hash of the active policy, worked out once. That of many exceptions takes longer than a scrape may, so it comes
/// with a later one.
pub(super) async fn policy_hash(active: &ActivePolicy) -> Option<String> {
    if let Some(known) = active.hash.get() {
        return Some(known.clone());
    }
    let (config, hash) = (Arc::clone(&active.config), Arc::clone(&active.hash));
    let is_last_good = active.facts.is_last_good;
    let work = move || {
        let new = || (!is_last_good).then(|| hash_of(&config)).flatten();
        hash.get_or_init(|| new().unwrap_or_else(|| UNKNOWN.to_owned()))
            .clone()
    };
    let entries = active.config.policy.exceptions.len() + active.config.policy.tenants.len();
    let working = tokio::task::spawn_blocking(work);
    if entries > ENTRIES_AT_ONCE {
        return None;
    }
    working.await.ok()
}

/// A digest of a policy in words.
fn hash_of(config: &Config) -> Option<String> {
    // What a list contains at the moment is data.
    let mut described = Described::of(config, &[]);
    described
        .keys
        .retain(|(key, _)| !OF_THE_MACHINE.contains(&key.as_str()));
    for entry in &mut described.entries {
        entry.number = None;
    }
    let digest = Sha256::digest(serde_json::to_vec(&described).ok()?);
    let bytes = digest.iter().take(HASH_BYTES);
    Some(bytes.map(|byte| format!("{byte:02x}")).collect())
}

/// What `geofence update` noted about each database that has a source. Another process writes it, so it is read anew.
pub(super) fn database_updates(config: &Config) -> Vec<(String, FileState)> {
    let directory = config.instance.state_directory();
    let state = |source: &GeoipSource| {
        let state = StateFile::of(&directory, &source.file).load();
        (source.file.display().to_string(), state)
    };
    config.geoip_sources.iter().map(state).collect()
}

fn tenant_counts(
    filter: &Filter,
    policy: &Policy,
    now: UnixSeconds,
) -> Result<TenantCounts, KernelError> {
    let mut counts = TenantCounts::default();
    for tenant in &policy.tenants {
        let counters = filter.tenant_counters(tenant.number)?;
        counts.tenants.push((tenant.name.clone(), counters));
    }
    let exceptions = policy.exceptions.iter();
    let exceptions = exceptions.map(|one| {
        let kind = if one.is_ban { "ban" } else { "exception" };
        (kind, &one.id, one.slot)
    });
    let protections = policy.protections.iter();
    let protections = protections.map(|one| ("protect", &one.id, one.slot));
    let hits = filter.hits()?;
    for (kind, id, slot) in exceptions.chain(protections) {
        let packets = hits.get(slot as usize).map_or(0, |hits| hits.packets);
        // There may be a hundred thousand exceptions; only those in use get a series.
        if packets != 0 {
            counts.hits.push((kind, id.clone(), packets));
        }
    }
    counts.exceptions = policy.live_exceptions(now).count();
    counts.bans = policy.live_bans(now).count();
    counts.expiring = policy.expiring_exceptions(now).count();
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_of_equal_words_have_one_hash_whatever_the_machine() {
        let hash = |text: &str| hash_of(&Config::parse(text, "geofence.toml").unwrap()).unwrap();
        let one = hash("block = [\"RU\", \"CN\"]");
        assert_eq!(one.len(), 2 * HASH_BYTES);
        let other_machine =
            "block = [\"CN\", \"RU\"]\ninterfaces = [\"eth9\"]\nlisten = \"[::1]:9\"";
        assert_eq!(hash(other_machine), one);
        assert_ne!(hash("block = [\"RU\"]"), one);
        let tenant =
            "block = [\"RU\", \"CN\"]\n[[tenant]]\nname = \"a\"\nprefixes = [\"192.0.2.0/24\"]";
        assert_ne!(hash(tenant), one);
    }
}
