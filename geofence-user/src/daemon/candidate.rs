//! The policy that could become active next: a configuration with its data, compiled and checked against what is
//! active.
//!
//! A start and a reload both come through here, and nothing here touches the kernel.

use std::collections::BTreeMap;
use std::sync::Arc;

use geofence_common::country::Country;
use tracing::{info, warn};

use super::facts::Facts;
use crate::checks::lockout::{self, Dependency, Lockout, Replies};
use crate::checks::sanity::{
    Comparison, FirstData, Refusal, Refused, Vendor, as_database_extents, as_database_refusals,
    country_ranges, refusals, settle,
};
use crate::compile::LpmPrefixes;
use crate::compile::{Extents, Family, Image};
use crate::config::Config;
use crate::data::asn::{AsDatabase, AsLookup};
use crate::data::lists::{ListReport, Loaded, Traffic, store::Store};
use crate::model::failure::{Cause, Failure};
use crate::model::filter_options::FilterOptions;
use crate::model::policy::{Lookup, NewNumbers};
use crate::model::shortfall::{Part, Shortfall, Tolerance};
use crate::model::units::UnixSeconds;
use crate::os::instance::Instance;
use crate::os::user;
use crate::prepare::{
    CountryData, DatabaseCache, DatabaseFiles, PrepareError, Prepared, filter_options,
    is_database_alone, prepare_from,
};

/// What a candidate is compared with, and where it goes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Base<'a> {
    pub active: Option<&'a Image>,
    /// The types of the databases it was made from; empty if they are not known.
    pub types: &'a [String],
    pub cache: Option<&'a DatabaseCache>,
    /// The packets that it has passed, by country, if they were counted.
    pub passed: Option<&'a BTreeMap<Country, u64>>,
    /// The kernel's slot.
    pub slot: u32,
}

/// Everything the kernel needs for a policy, and what is known about it.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub config: Config,
    pub image: Image,
    /// The content of the reference lookup's tries, where it is used.
    pub tries: Option<LpmPrefixes>,
    pub facts: Facts,
    /// What the operator should know, in sentences.
    pub warnings: Vec<String>,
    /// Tenants and exceptions that the active policy does not have; their counters start at zero.
    pub new_numbers: NewNumbers,
    /// The required peers that it locks out and `force` has accepted, now or before.
    pub accepted: Vec<Dependency>,
    /// The lists that were read, to be stored once they are active.
    pub lists: Loaded,
    /// The database of countries, if the next change should not have to decode it.
    pub cache: Option<DatabaseCache>,
    /// What names the autonomous systems in events.
    pub systems: Option<Arc<AsLookup>>,
}

impl Candidate {
    /// Reads the data, or takes it from the cache, checks it, and compiles the image for the kernel's slot. What cannot
    /// be had and is tolerated is a shortfall of the candidate.
    ///
    /// # Errors
    /// When the data cannot be read, fails the sanity check, or does not fit.
    pub fn prepare(
        config: Config,
        base: Base<'_>,
        force: bool,
        tolerance: Tolerance<'_>,
    ) -> Result<Self, Failure> {
        let has_stand_in = tolerance.allows(Part::Database, "") && !config.databases.is_empty();
        if !has_stand_in {
            return Self::prepare_with(config, base, force, tolerance, false);
        }
        let failure = match Self::prepare_with(config.clone(), base, force, tolerance, false) {
            Err(failure) if matches!(failure.cause, Cause::Database | Cause::Sanity) => failure,
            prepared => return prepared,
        };
        let Ok(mut candidate) = Self::prepare_with(config, base, force, tolerance, true) else {
            return Err(failure);
        };
        let text = format!(
            "THE EMBEDDED GEOIP DATA IS IN USE instead of that of the configuration: {failure}"
        );
        let shortfall = Shortfall::now(Part::Database, "", text);
        candidate.facts.shortfalls.insert(0, shortfall);
        // The cache is about the configured files.
        candidate.cache = None;
        Ok(candidate)
    }

    fn prepare_with(
        config: Config,
        base: Base<'_>,
        force: bool,
        tolerance: Tolerance<'_>,
        embedded: bool,
    ) -> Result<Self, Failure> {
        let Base {
            active,
            types,
            cache,
            passed,
            slot,
        } = base;
        let files = DatabaseFiles::look(&config);
        let known = cache.and_then(|cache| cache.database(&files));
        let is_known = known.is_some() && is_database_alone(&config);
        let prepared = match known {
            Some(database) => Ok(CountryData {
                database,
                readers: Vec::new(),
            }),
            None if embedded => CountryData::embedded().map_err(PrepareError::from),
            None => CountryData::open(&config).map_err(PrepareError::from),
        }
        .and_then(|read| {
            let database = read.database.clone();
            let traffic = active.zip(passed).filter(|_| !config.lists.is_empty());
            let traffic = traffic.and_then(|(image, passed)| traffic_of(image.words(), passed));
            let prepared = prepare_from(config, read, traffic, tolerance);
            prepared.map(|prepared| (prepared, database))
        });
        let (mut prepared, database) = prepared.map_err(|error| {
            let cause = match &error {
                PrepareError::Database(_) | PrepareError::UnknownAs(_) => Cause::Database,
                PrepareError::List(_) => Cause::List,
                PrepareError::Compile(_) => Cause::Capacity,
                PrepareError::ForeignImage(_) => Cause::Internal,
            };
            Failure::new(cause, error)
        })?;
        let mut warnings = prepared.data_warnings();
        warnings.extend(prepared.config.warnings());
        // Data from the cache is active already, so it has passed the check.
        if !is_known {
            // If the embedded data may stand in, the active image says nothing about the configured data.
            let before = active.filter(|_| !tolerance.allows(Part::Database, ""));
            check_data(&prepared, before, types, force, &mut warnings)?;
        }
        let generation = active.map_or(1, |image| image.generation().wrapping_add(1));
        prepared.image = prepared.image.restamped(generation, slot);
        let tries = prepared
            .lpm_prefixes()
            .map_err(|error| Failure::new(Cause::Internal, error))?;
        let facts = Facts {
            databases: prepared
                .database
                .info()
                .sources
                .iter()
                .chain(prepared.others.sources())
                .map(|one| (one.name.clone(), one.built))
                .collect(),
            database_types: prepared.database_types(),
            disagreement: prepared
                .others
                .cross_check
                .as_ref()
                .map(|one| one.disagreement),
            asn_data: prepared
                .others
                .autonomous_systems
                .as_ref()
                .map(as_database_extents),
            geo_overrides: prepared
                .config
                .policy
                .overrides_in_force(UnixSeconds::now())
                .count(),
            lists: prepared.lists.reports.clone(),
            attribution: prepared.database.info().attribution,
            shortfalls: prepared.shortfalls,
            ..Facts::of(&prepared.image)
        };
        for text in prepared
            .lists
            .reports
            .iter()
            .filter_map(ListReport::passed_over)
        {
            info!("list {text}");
        }
        let cache = files.cache(&prepared.config, database);
        Ok(Self {
            config: prepared.config,
            image: prepared.image,
            tries,
            facts,
            warnings,
            new_numbers: NewNumbers::default(),
            accepted: Vec::new(),
            lists: prepared.lists,
            cache,
            systems: prepared
                .others
                .autonomous_systems
                .map(AsDatabase::into_lookup)
                .map(Arc::new),
        })
    }

    /// The last good image, for a configuration whose data cannot be used.
    ///
    /// The image contains the policy it was compiled from. It cannot fill the reference lookup, so its own trie is
    /// used.
    #[must_use]
    pub fn last_good(mut config: Config, image: Image, database_types: Vec<String>) -> Self {
        config.policy.lookup = Lookup::ArrayTrie;
        let image = image.clone().restamped(image.generation(), 0);
        Self {
            config,
            facts: Facts {
                is_last_good: true,
                databases: vec![("last good image".to_owned(), image.data_built())],
                database_types,
                ..Facts::of(&image)
            },
            image,
            tries: None,
            warnings: Vec::new(),
            new_numbers: NewNumbers::default(),
            accepted: Vec::new(),
            lists: Loaded::default(),
            cache: None,
            systems: None,
        }
    }

    /// The servers that the fleet agent of this machine is connected to.
    #[must_use]
    pub fn fleet_servers(&self) -> Vec<Dependency> {
        let name = self.config.fleet_user.as_deref();
        let user = name.and_then(user::number);
        user.map(lockout::fleet_servers).unwrap_or_default()
    }

    /// Refuses a policy that locks out one of these peers, unless it is forced. If it `keeps_accepted`, peers whose
    /// lock-out was accepted before are no reason to refuse.
    ///
    /// # Errors
    /// The peers that it locks out.
    pub fn check_lockout(
        &mut self,
        required: &[Dependency],
        force: bool,
        keeps_accepted: bool,
    ) -> Result<(), Failure> {
        let replies = Replies::of(&self.config.policy);
        let cut_off = |peers: &[Dependency]| lockout::cut_off(peers, self.image.words(), replies);
        // A peer that a policy does not lock out has to be accepted again when one does.
        let accepted = cut_off(&self.accepted).into_iter();
        let accepted = accepted.filter(|_| keeps_accepted);
        let accepted: Vec<Dependency> = accepted.map(|one| one.dependency).collect();
        let mut cut = cut_off(required);
        cut.retain(|one| !accepted.contains(&one.dependency));
        self.accepted = accepted;
        if !force && !cut.is_empty() {
            return Err(Failure::new(Cause::Lockout, Lockout(cut)));
        }
        for cut in cut {
            warn!("forced: {cut}");
            self.accepted.push(cut.dependency);
        }
        Ok(())
    }

    /// Refuses an ASN database that has lost much of what the active one had, unless it is forced.
    ///
    /// # Errors
    /// What it has lost.
    pub fn check_asn_data(&mut self, before: Option<Extents>, force: bool) -> Result<(), Failure> {
        let (Some(before), Some(after)) = (before, self.facts.asn_data) else {
            return Ok(());
        };
        let refused = as_database_refusals(before, after);
        accept(refused, Vec::new(), force, &mut self.warnings)
    }

    /// The sizes of the kernel's maps.
    #[must_use]
    pub fn options(&self) -> FilterOptions {
        filter_options(&self.config, &self.image, false)
    }
}

/// The sanity check: compares the data with that of the active image or, without one, with well-known addresses.
fn check_data(
    prepared: &Prepared,
    active: Option<&Image>,
    types: &[String],
    force: bool,
    warnings: &mut Vec<String>,
) -> Result<(), Failure> {
    let now_types = prepared.database_types();
    let vendor = Vendor::of(types, &now_types);
    let is_compared_with_another = vendor == Vendor::Other || active.is_none();
    let internal = |error: &dyn std::fmt::Display| Failure::new(Cause::Internal, error);
    let refused = match active {
        // Embedded data of the same build time is the same; a comparison would take as long as the compilation.
        Some(image)
            if prepared.config.databases.is_empty()
                && prepared.config.policy.geo_overrides.is_empty()
                && image.data_built() == prepared.image.data_built() =>
        {
            Vec::new()
        }
        Some(image) => {
            let comparison = Comparison::of_images(image.words(), prepared.image.words())
                .map_err(|error| internal(&error))?;
            let now = UnixSeconds::now();
            let found = refusals(&prepared.config.policy, &comparison, vendor, now);
            if vendor == Vendor::Other && prepared.is_vendor_accepted() {
                let (stay, accepted) = settle(found);
                warnings.extend(accepted);
                stay
            } else {
                found
            }
        }
        None => {
            let first = FirstData::of(prepared).map_err(|error| internal(&error))?;
            warnings.extend(first.warnings);
            first.refusals
        }
    };
    let vendor = if is_compared_with_another && !prepared.config.databases.is_empty() {
        now_types
    } else {
        Vec::new()
    };
    accept(refused, vendor, force, warnings)
}

/// Turns what the sanity check found into an error or, if the data is forced, into warnings.
/// `vendor` has the types that the configuration could accept.
fn accept(
    refusals: Vec<Refusal>,
    vendor: Vec<String>,
    force: bool,
    warnings: &mut Vec<String>,
) -> Result<(), Failure> {
    if !refusals.is_empty() && !force {
        return Err(Failure::new(Cause::Sanity, Refused { refusals, vendor }));
    }
    warnings.extend(refusals.iter().map(|one| format!("forced: {one}")));
    Ok(())
}

/// The traffic that has passed by an image, by which new lists are judged.
pub fn traffic_of(words: &[u32], passed: &BTreeMap<Country, u64>) -> Option<Traffic> {
    let [v4, v6] = Family::ALL.map(|family| country_ranges(words, family).ok());
    Some(Traffic {
        passed: passed.clone(),
        ranges: [v4?, v6?],
    })
}

/// Stores the lists that are active, for a time when they cannot be read.
pub(super) fn store_lists(mut lists: Loaded, instance: &Instance) {
    if let Err(error) = lists.save(&Store::of(instance)) {
        warn!(
            "cannot store the lists, so a list that cannot be read later has no earlier copy: {error}"
        );
    }
}
