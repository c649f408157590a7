//! A policy with its data and its image.

use std::collections::BTreeSet;

use super::asn::{self, UnknownAsErrors};
use super::clock::boot;
use super::filter_options::{CAPACITY_MAX_BYTES, filter_options, lines};
use crate::compile::{
    CompileError, Disagreement, ForeignImage, Image, LpmPrefixes, Target, apply_overrides, compile,
    cross_check,
};
use crate::config::Config;
use crate::data::asn::AsDatabase;
use crate::data::geoip::{self, Database};
use crate::data::lists::store::Store;
use crate::data::lists::{self, Loaded};
use crate::data::lists::{LocalAddresses, Traffic};
use crate::data::mmdb::{DatabaseError, Reader, SourceInfo};
use crate::model::filter_options::FilterOptions;
use crate::model::policy::{Lookup, MailDns};
use crate::model::shortfall::{Part, Shortfall, Tolerance};
use crate::model::units::UnixSeconds;
use crate::os::name_servers;

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    UnknownAs(#[from] UnknownAsErrors),
    #[error(transparent)]
    List(#[from] lists::LoadError),
    #[error(transparent)]
    Compile(#[from] CompileError),
    #[error(transparent)]
    ForeignImage(#[from] ForeignImage),
}

/// A policy with its data and its image.
pub struct Prepared {
    pub config: Config,
    pub database: Database,
    /// The files, for the records in them.
    pub readers: Vec<Reader>,
    pub image: Image,
    /// Reports and warnings about the lists; their entries are in the policy.
    pub lists: Loaded,
    pub others: OtherData,
    /// What the policy goes without.
    pub shortfalls: Vec<Shortfall>,
}

/// The databases other than the countries'.
#[derive(Default)]
pub struct OtherData {
    pub cross_check: Option<CrossCheckData>,
    pub autonomous_systems: Option<AsDatabase>,
}

impl OtherData {
    /// What the files say about themselves.
    pub fn sources(&self) -> impl Iterator<Item = &SourceInfo> {
        let cross_check = self.cross_check.iter();
        let cross_check = cross_check.flat_map(|data| &data.info.sources);
        cross_check.chain(self.autonomous_systems.iter().map(AsDatabase::info))
    }
}

/// The database for the cross-check.
pub struct CrossCheckData {
    pub info: geoip::Info,
    pub readers: Vec<Reader>,
    pub disagreement: Disagreement,
}

/// The country database that a configuration names.
pub struct CountryData {
    pub database: Database,
    /// The files, for the records in them; empty if the database comes from the cache.
    pub readers: Vec<Reader>,
}

impl CountryData {
    /// Reads the files, or the embedded database.
    pub fn open(config: &Config) -> Result<Self, DatabaseError> {
        if config.databases.is_empty() {
            return Self::embedded();
        }
        let (database, readers) = Database::open_with_readers(&config.databases)?;
        Ok(Self { database, readers })
    }

    /// Reads the embedded database, whatever a configuration names.
    pub fn embedded() -> Result<Self, DatabaseError> {
        let (database, reader) = Database::embedded_with_reader()?;
        Ok(Self {
            database,
            readers: vec![reader],
        })
    }
}

/// Reads the databases and lists and compiles the first image.
pub fn prepare(config: Config) -> Result<Prepared, PrepareError> {
    let countries = CountryData::open(&config)?;
    prepare_from(config, countries, None, Tolerance::Nothing)
}

/// As `prepare`, with a country database that is already read, and without what cannot be had and is tolerated. New
/// texts of lists are judged by the traffic that passes now, if it is known.
pub fn prepare_from(
    mut config: Config,
    countries: CountryData,
    traffic: Option<Traffic>,
    tolerance: Tolerance<'_>,
) -> Result<Prepared, PrepareError> {
    let CountryData {
        mut database,
        readers,
    } = countries;
    let mut others = OtherData::default();
    let mut shortfalls = Vec::new();
    if !config.cross_check_databases.is_empty() {
        match Database::open_with_readers(&config.cross_check_databases) {
            Ok((second, readers)) => {
                let disagreement;
                (database, disagreement) = cross_check(&config.policy, &database, &second);
                others.cross_check = Some(CrossCheckData {
                    info: second.info().clone(),
                    readers,
                    disagreement,
                });
            }
            Err(error) if tolerance.allows(Part::CrossCheck, "") => {
                let error = error.under("cross-check-databases");
                let text = format!("NO CROSS-CHECK, only the first database decides: {error}");
                shortfalls.push(Shortfall::now(Part::CrossCheck, "", text));
            }
            Err(error) => return Err(error.under("cross-check-databases").into()),
        }
    }
    let now = UnixSeconds::now();
    database = apply_overrides(&mut config.policy.geo_overrides, &database, now);
    if let Some(path) = &config.asn_database {
        let read = AsDatabase::open(path).map_err(|error| error.under("asn-database").into());
        let resolved = read.and_then(|data| {
            let resolved = asn::resolve(&mut config, &data);
            others.autonomous_systems = Some(data);
            Ok(resolved?)
        });
        match resolved {
            // The rules keep what was resolved.
            Err(error) if tolerance.allows(Part::AsDatabase, "") => {
                let text = format!(
                    "RULES THAT NAME AUTONOMOUS SYSTEMS LACK ADDRESSES: {}",
                    PrepareError::to_string(&error)
                );
                shortfalls.push(Shortfall::now(Part::AsDatabase, "", text));
            }
            resolved => resolved?,
        }
    }
    let mut lists = Loaded::default();
    if !config.lists.is_empty() {
        let local = LocalAddresses {
            traffic,
            ..LocalAddresses::of_this_machine(&config.policy.management)
        };
        let store = Store::of(&config.instance);
        lists = lists::load(&config.lists, &local, &store, now, tolerance)?;
        shortfalls.append(&mut lists.shortfalls);
        config.policy.lists = std::mem::take(&mut lists.listings);
    }
    if config.policy.mail_dns == MailDns::Auto {
        config.policy.name_servers = name_servers::on_interfaces(&config.interfaces);
    }
    let now = UnixSeconds::now();
    let lines_max = lines(config.image_capacity.unwrap_or(CAPACITY_MAX_BYTES));
    let target = Target {
        generation: 1,
        slot: 0,
        compiled: now,
        boot: boot(),
        lines_max,
    };
    let image = compile(&config.policy, &database, &target)?;
    Ok(Prepared {
        config,
        database,
        readers,
        image,
        lists,
        others,
        shortfalls,
    })
}

impl Prepared {
    /// The types of the databases that place addresses in countries, by which their vendor is known.
    #[must_use]
    pub fn database_types(&self) -> Vec<String> {
        let second = self.others.cross_check.iter();
        let sources = second.flat_map(|data| &data.info.sources);
        let sources = self.database.info().sources.iter().chain(sources);
        let types: BTreeSet<_> = sources.map(|source| source.database_type.clone()).collect();
        types.into_iter().collect()
    }

    /// Whether the configuration accepts the vendor of its databases.
    #[must_use]
    pub fn is_vendor_accepted(&self) -> bool {
        let accepted = &self.config.accepted_database_types;
        !accepted.is_empty()
            && self
                .database_types()
                .iter()
                .all(|one| accepted.contains(one))
    }

    /// The sizes of the kernel's maps for this image and those that replace it.
    #[must_use]
    pub fn options(&self, traced: bool) -> FilterOptions {
        filter_options(&self.config, &self.image, traced)
    }

    /// The contents of the kernel's LPM tries, if the policy uses them.
    pub fn lpm_prefixes(&self) -> Result<Option<LpmPrefixes>, PrepareError> {
        if self.config.policy.lookup != Lookup::LpmTrie {
            return Ok(None);
        }
        let (policy, database) = (&self.config.policy, &self.database);
        let v4 = self.image.prefixes_v4(policy, database)?;
        let v6 = self.image.prefixes_v6(policy, database)?;
        Ok(Some(LpmPrefixes { v4, v6 }))
    }
}
