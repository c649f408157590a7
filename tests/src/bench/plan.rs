//! What a run of the benchmark measures with: the data, its oracle, and how long to look.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use geofence_common::address::Address;
use geofence_common::country::Country;
use geofence_common::image::class::Class;
use geofence_common::image::{Lookup as _, Words as _};
use geofence_tests::oracle::Oracle;
use geofence_user::compile::{Boot, Mechanisms, Target, compile_with};
use geofence_user::config::Config;
use geofence_user::data::geoip::Database;
use geofence_user::data::lists::Loaded;
use geofence_user::model::policy::Policy;
use geofence_user::model::units::UnixSeconds;
use geofence_user::prepare::{OtherData, Prepared, prepare};

pub(crate) struct Plan {
    /// Whether only the answers count.
    pub(crate) smoke: bool,
    pub(crate) rounds: usize,
    /// Addresses in a set, a power of two.
    pub(crate) set_size: usize,
    pub(crate) prepared: Prepared,
    pub(crate) oracle: Oracle,
}

impl Plan {
    pub(crate) fn new(smoke: bool, databases: Vec<PathBuf>) -> Result<Self> {
        let config = Config {
            databases,
            ..Config::default()
        };
        let prepared = prepare(config).context("compiling the default policy")?;
        let oracle = Oracle::new(&prepared.config.policy, &prepared.database);
        let (rounds, set_size) = if smoke { (2, 1 << 10) } else { (11, 1 << 17) };
        Ok(Self {
            smoke,
            rounds,
            set_size,
            prepared,
            oracle,
        })
    }

    /// In how many places of the memory contestants that are nearly alike are compared; see `Stage::everywhere`.
    pub(crate) const fn places(&self) -> usize {
        if self.smoke { 1 } else { 4 }
    }

    /// Rounds in each place for those who are nearly alike, of whom the question is how nearly.
    pub(crate) const fn place_rounds(&self) -> usize {
        self.rounds.div_ceil(2)
    }

    /// The class of an address by the image: to choose by, not to check by.
    pub(crate) fn class(&self, address: &Address) -> Class {
        let words = self.prepared.image.words();
        let found = words
            .class_lookup(address)
            .and_then(|at| words.class_at(at));
        found.unwrap_or(Class::of_country(Country::UNKNOWN))
    }

    /// The same configuration and data under a changed policy, or with other data.
    pub(crate) fn variant(
        &self,
        database: Option<Database>,
        change: impl FnOnce(&mut Policy),
    ) -> Result<Prepared> {
        self.variant_with(Mechanisms::ALL, database, change)
    }

    /// As `variant`, with an image of some mechanisms only.
    pub(crate) fn variant_with(
        &self,
        mechanisms: Mechanisms,
        database: Option<Database>,
        change: impl FnOnce(&mut Policy),
    ) -> Result<Prepared> {
        let mut config = self.prepared.config.clone();
        change(&mut config.policy);
        let database = database.unwrap_or_else(|| self.prepared.database.clone());
        let target = Target {
            generation: 1,
            slot: 0,
            compiled: UnixSeconds(0),
            boot: Boot::default(),
            lines_max: u32::MAX >> 4,
        };
        let image = compile_with(mechanisms, &config.policy, &database, &target)?;
        Ok(Prepared {
            config,
            database,
            readers: Vec::new(),
            image,
            lists: Loaded::default(),
            others: OtherData::default(),
            shortfalls: Vec::new(),
        })
    }
}
