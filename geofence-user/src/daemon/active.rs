//! The active policy, and the one before it while a trial runs.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::{Value, json};

use super::candidate::{Base, Candidate};
use super::facts::Facts;
use crate::checks::lockout::Dependency;
use crate::compile::Image;
use crate::config::Config;
use crate::data::asn::AsLookup;
use crate::model::failure::{Cause, Failure};
use crate::model::units::UnixSeconds;
use crate::os::clock::boot_now;
use crate::prepare::DatabaseCache;

/// The policy that filters now.
#[derive(Clone)]
pub(super) struct ActivePolicy {
    pub(super) config: Arc<Config>,
    pub(super) image: Arc<Image>,
    pub(super) facts: Facts,
    /// The required peers that it locks out and `force` has accepted.
    pub(super) accepted: Vec<Dependency>,
    /// When the next entry of a list or override of the country data expires, seconds since 1970.
    pub(super) next_expiry: Option<UnixSeconds>,
    /// The database the image was compiled from, where exceptions make another compilation likely.
    pub(super) cache: Option<DatabaseCache>,
    /// What names the autonomous systems in events.
    pub(super) systems: Option<Arc<AsLookup>>,
    /// A digest of the policy in words, once a scrape needs it.
    pub(super) hash: Arc<OnceLock<String>>,
}

impl ActivePolicy {
    /// Drops list entries, and the prefixes of autonomous systems and overrides, from the configuration: the image has
    /// them.
    pub(super) fn of(candidate: Candidate) -> Self {
        let mut config = candidate.config;
        let lists = config.policy.lists.drain(..);
        let entries = lists.filter_map(|list| list.entries().next_expiry()).min();
        // An override that had expired already when the data was read replaces nothing.
        let overrides = config.policy.geo_overrides.iter();
        let overrides = overrides.filter(|one| !one.replaced.is_empty());
        let next_expiry = overrides.filter_map(|one| one.until).chain(entries).min();
        for one in &mut config.policy.geo_overrides {
            one.replaced = Vec::new();
        }
        config.policy.autonomous_systems.clear();
        Self {
            next_expiry,
            config: Arc::new(config),
            image: Arc::new(candidate.image),
            facts: candidate.facts,
            accepted: candidate.accepted,
            cache: candidate.cache,
            systems: candidate.systems,
            hash: Arc::default(),
        }
    }

    /// What a candidate for this slot of the kernel starts from.
    pub(super) fn base(&self, slot: u32) -> Base<'_> {
        Base {
            active: Some(&self.image),
            types: &self.facts.database_types,
            cache: self.cache.as_ref(),
            passed: None,
            slot,
        }
    }
}

/// The trial of the active policy.
#[derive(Clone)]
pub(super) struct Trial {
    /// The policy that becomes active again without a confirmation.
    pub(super) before: ActivePolicy,
    /// When the trial ends, in nanoseconds since boot.
    pub(super) ends: u64,
    /// The file that will replace the configuration file, and its text.
    pub(super) file: Option<(PathBuf, String)>,
}

impl Trial {
    pub(super) fn left(&self) -> Result<Duration, Failure> {
        let now = boot_now().map_err(|error| Failure::new(Cause::Kernel, error))?;
        Ok(Duration::from_nanos(self.ends.saturating_sub(now)))
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "generation_before": self.before.image.generation(),
            "seconds_left": self.left().map_or(0, |left| left.as_secs()),
            "file": self.file.as_ref().map(|(path, _)| path),
        })
    }
}
