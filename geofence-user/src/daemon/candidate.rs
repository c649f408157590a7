//! What could filter next: a configuration with its data read, compiled and held against what filters now.
//!
//! Starting and reloading come through here alike, and nothing here touches the kernel. What is refused is refused for
//! one of the causes of `model::failure`.

use tracing::warn;

use crate::checks::lockout::{self, Dependency, Lockout, Replies};
use crate::checks::sanity::{Comparison, Holdings, Refused, refusals, systems_refusals};
use crate::compile::Image;
use crate::compile::LpmPrefixes;
use crate::config::Config;
use crate::data::lists::Loaded;
use crate::model::failure::{Cause, Failure};
use crate::model::filter_options::FilterOptions;
use crate::model::policy::{Lookup, NewNumbers};
use crate::prepare::{Before, Kept, PrepareError, Prepared, Read, now, options, prepare_from};
use crate::serve::metrics::Facts;

/// Everything the kernel needs, and what is told about it.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub config: Config,
    pub image: Image,
    /// What the reference engine is filled with, where it is used.
    pub tries: Option<LpmPrefixes>,
    pub facts: Facts,
    /// What must be shown with the data, if anything.
    pub attribution: Option<&'static str>,
    /// What the operator should know, in sentences.
    pub warnings: Vec<String>,
    /// Tenants and exceptions that the policy in use has not, whose counters start anew.
    pub new_numbers: NewNumbers,
    /// The lists that were read, to be kept when they filter.
    pub lists: Loaded,
    /// The database of countries, where the next change should not have to decode it.
    pub kept: Option<Kept>,
}

impl Candidate {
    /// Reads the data, or takes what is kept of that in use, and compiles the image for the kernel's slot, unless the
    /// guard does not believe the data.
    pub fn prepare(
        config: Config,
        in_use: Option<&Image>,
        kept: Option<&Kept>,
        slot: u32,
        force: bool,
    ) -> Result<Self, Failure> {
        let before = Before::look(&config);
        let known = kept.and_then(|kept| kept.of(&before));
        let is_known = known.is_some() && config.cross_check_databases.is_empty();
        let prepared = match known {
            Some(database) => Ok(Read {
                database,
                readers: Vec::new(),
            }),
            None => Read::open(&config).map_err(PrepareError::from),
        }
        .and_then(|read| {
            let database = read.database.clone();
            prepare_from(config, read).map(|prepared| (prepared, database))
        });
        let (mut prepared, database) = prepared.map_err(|error| {
            let cause = match &error {
                PrepareError::Database(_) | PrepareError::Systems(_) => Cause::Database,
                PrepareError::List(_) => Cause::List,
                PrepareError::Compile(_) => Cause::Capacity,
                PrepareError::ForeignImage(_) => Cause::Internal,
            };
            Failure::new(cause, error)
        })?;
        let mut warnings = prepared.data_warnings();
        warnings.extend(prepared.config.warnings());
        // What filters already was believed when it came.
        if !is_known {
            believe(&prepared, in_use, force, &mut warnings)?;
        }
        let generation = in_use.map_or(1, |image| image.generation().wrapping_add(1));
        prepared.image = prepared.image.restamped(generation, slot);
        let tries = prepared
            .tries()
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
            disagreement: prepared.others.second.as_ref().map(|one| one.disagreement),
            systems: prepared.others.systems_have(),
            lists: prepared.lists.reports.clone(),
            ..Facts::of(&prepared.image)
        };
        let kept = before.keep(&prepared.config, database);
        Ok(Self {
            config: prepared.config,
            image: prepared.image,
            tries,
            facts,
            attribution: prepared.database.info().attribution,
            warnings,
            new_numbers: NewNumbers::default(),
            lists: prepared.lists,
            kept,
        })
    }

    /// The last good image, for a configuration whose data is not to be had.
    ///
    /// It holds the policy it was compiled from. The reference engine cannot be filled from it; its own trie does.
    #[must_use]
    pub fn last_good(mut config: Config, image: Image) -> Self {
        config.policy.lookup = Lookup::ArrayTrie;
        let image = image.clone().restamped(image.generation(), 0);
        Self {
            config,
            facts: Facts {
                databases: vec![("last good image".to_owned(), image.data_built())],
                ..Facts::of(&image)
            },
            image,
            tries: None,
            attribution: None,
            warnings: Vec::new(),
            new_numbers: NewNumbers::default(),
            lists: Loaded::default(),
            kept: None,
        }
    }

    /// Makes sure that the policy cuts off nobody of these, unless that is what is wanted.
    pub fn keep_access(&self, needed: &[Dependency], force: bool) -> Result<(), Failure> {
        let replies = Replies::of(&self.config.policy);
        let cut = lockout::cut(needed, self.image.words(), replies);
        if cut.is_empty() {
            return Ok(());
        }
        if !force {
            return Err(Failure::new(Cause::Lockout, Lockout(cut)));
        }
        for cut in cut {
            warn!("forced: {cut}");
        }
        Ok(())
    }

    /// Makes sure that the ASN database has not lost much of what the one in use had, unless that is what is wanted.
    pub fn keep_systems(&mut self, before: Option<Holdings>, force: bool) -> Result<(), Failure> {
        let (Some(before), Some(after)) = (before, self.facts.systems) else {
            return Ok(());
        };
        let refused = systems_refusals(before, after);
        if !refused.is_empty() && !force {
            return Err(Failure::new(Cause::Sanity, Refused(refused)));
        }
        let forced = refused.iter().map(|one| format!("forced: {one}"));
        self.warnings.extend(forced);
        Ok(())
    }

    /// How the kernel's maps are to be sized.
    #[must_use]
    pub fn options(&self) -> FilterOptions {
        options(&self.config, &self.image, false)
    }
}

/// Holds the data against what filters now, or, where nothing does, against what everybody knows.
fn believe(
    prepared: &Prepared,
    in_use: Option<&Image>,
    force: bool,
    warnings: &mut Vec<String>,
) -> Result<(), Failure> {
    let internal = |error: &dyn std::fmt::Display| Failure::new(Cause::Internal, error);
    let refused = match in_use {
        // The embedded data of one build time is the same data; to compare it takes as long as to compile it.
        Some(image)
            if prepared.config.databases.is_empty()
                && image.data_built() == prepared.image.data_built() =>
        {
            Vec::new()
        }
        Some(image) => {
            let comparison = Comparison::of_images(image.words(), prepared.image.words())
                .map_err(|error| internal(&error))?;
            refusals(&prepared.config.policy, &comparison, now())
        }
        None => {
            let first = prepared.first_data().map_err(|error| internal(&error))?;
            warnings.extend(first.warnings);
            first.refusals
        }
    };
    if refused.is_empty() {
        return Ok(());
    }
    if !force {
        return Err(Failure::new(Cause::Sanity, Refused(refused)));
    }
    warnings.extend(refused.iter().map(|one| format!("forced: {one}")));
    Ok(())
}
