//! From a checked configuration to everything the kernel needs: the GeoIP data read, the image compiled.
//!
//! Nothing here touches the kernel, so a mistake in a file or a database is found before anything changes.

mod asn;
mod database_cache;

use std::fmt;
use std::net::IpAddr;

use geofence_common::country::Country;
use geofence_common::image::Line;
use geofence_common::image::destination::TENANTS_MAX;
use geofence_common::maps::IMAGE_MIB_MAX;
use serde_json::{Value, json};

use crate::checks::sanity::{First, FirstError, Holdings};
use crate::compile::LpmPrefixes;
use crate::compile::{
    Boot, CompileError, Disagreement, Extent, ForeignImage, Image, Target, agree, compile,
};
use crate::config::Config;
use crate::data::geoip::{self, Database, Reader, SourceInfo, Systems};
use crate::data::lists::sanity::Surroundings;
use crate::data::lists::store::Store;
use crate::data::lists::{self, Loaded};
use crate::explain::country;
use crate::model::filter_options::FilterOptions;
use crate::model::policy::{CrossCheckRule, Lookup, Replies};
use crate::model::units::UnixSeconds;
use crate::model::word::Word;
use crate::os::clock::boot_now;

pub use asn::{UnknownSystem, UnknownSystems};
pub(crate) use database_cache::Before;
pub use database_cache::Kept;

/// Data older than this is warned about: registries move enough prefixes in two months to be noticed.
pub const DATA_AGE_MAX_DAYS: u64 = 60;

/// Room for an image when the configuration leaves it open: twice the first image, and at least this.
const CAPACITY_MIN_BYTES: u64 = 16 << 20;
/// The most there can be.
const CAPACITY_MAX_BYTES: u64 = (IMAGE_MIB_MAX as u64) << 20;
/// Sources whose pressure is known at once; a bucket that is forgotten is a full one.
const BUCKETS: u32 = 65_536;
const LINE_BYTES: u64 = size_of::<Line>() as u64;

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    #[error(transparent)]
    Database(#[from] geoip::Error),
    #[error(transparent)]
    Systems(#[from] UnknownSystems),
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
    /// The files themselves, for their records.
    pub readers: Vec<Reader>,
    pub image: Image,
    /// What there is to tell about the lists, whose entries are the policy's.
    pub lists: Loaded,
    pub others: Others,
}

/// What is read besides the database of countries.
#[derive(Default)]
pub struct Others {
    pub second: Option<Second>,
    /// The database of autonomous systems.
    pub systems: Option<Systems>,
}

impl Others {
    /// What the autonomous systems have, if there is a database of them.
    #[must_use]
    pub fn systems_have(&self) -> Option<Holdings> {
        self.systems.as_ref().map(holdings)
    }

    /// What the files say of themselves.
    pub fn sources(&self) -> impl Iterator<Item = &SourceInfo> {
        let second = self.second.iter().flat_map(|second| &second.info.sources);
        second.chain(self.systems.iter().map(Systems::info))
    }
}

/// How much the autonomous systems of a database have together; of IPv6 only the prefixes are counted.
fn holdings(systems: &Systems) -> Holdings {
    let [v4, v6] = systems.networks();
    let extent = |prefixes: usize, addresses: u64| Extent {
        prefixes: prefixes as u64,
        addresses: addresses.into(),
    };
    Holdings {
        v4: extent(v4, systems.addresses_v4()),
        v6: extent(v6, 0),
    }
}

/// The second opinion on the countries of addresses.
pub struct Second {
    pub info: geoip::Info,
    pub readers: Vec<Reader>,
    pub disagreement: Disagreement,
}

/// The database of countries as a configuration names it.
pub struct Read {
    pub database: Database,
    /// The files themselves, for their records; none where it was kept from an earlier time.
    pub readers: Vec<Reader>,
}

impl Read {
    /// Reads the files, or what is embedded.
    pub fn open(config: &Config) -> Result<Self, geoip::Error> {
        let (database, readers) = if config.databases.is_empty() {
            let (database, reader) = Database::embedded_with_reader()?;
            (database, vec![reader])
        } else {
            Database::open_with_readers(&config.databases)?
        };
        Ok(Self { database, readers })
    }
}

/// Reads the databases and lists and compiles the first image.
pub fn prepare(config: Config) -> Result<Prepared, PrepareError> {
    let read = Read::open(&config)?;
    prepare_from(config, read)
}

/// As `prepare`, with a database of countries that has been read.
pub fn prepare_from(mut config: Config, read: Read) -> Result<Prepared, PrepareError> {
    let Read {
        mut database,
        readers,
    } = read;
    let mut others = Others::default();
    if !config.cross_check_databases.is_empty() {
        let (second, readers) = Database::open_with_readers(&config.cross_check_databases)
            .map_err(|error| error.under("second-opinion"))?;
        let disagreement;
        (database, disagreement) = agree(&config.policy, &database, &second);
        others.second = Some(Second {
            info: second.info().clone(),
            readers,
            disagreement,
        });
    }
    if let Some(path) = &config.asn_database {
        let data = Systems::open(path).map_err(|error| error.under("asn-database"))?;
        asn::resolve(&mut config, &data)?;
        others.systems = Some(data);
    }
    let mut lists = Loaded::default();
    if !config.lists.is_empty() {
        let around = Surroundings::of_this_machine(&config.policy.management);
        let store = Store::of(&config.instance);
        lists = lists::load(&config.lists, &around, &store, now())?;
        config.policy.lists = std::mem::take(&mut lists.listings);
    }
    let lines_max = lines(config.image_capacity.unwrap_or(CAPACITY_MAX_BYTES));
    let target = Target {
        generation: 1,
        slot: 0,
        compiled: now(),
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
    })
}

impl Prepared {
    /// How the kernel's maps are to be sized for this image and its successors.
    #[must_use]
    pub fn options(&self, traced: bool) -> FilterOptions {
        options(&self.config, &self.image, traced)
    }

    /// What the reference engine is filled with, when it is used.
    pub fn tries(&self) -> Result<Option<LpmPrefixes>, PrepareError> {
        if self.config.policy.lookup != Lookup::LpmTrie {
            return Ok(None);
        }
        let (policy, database) = (&self.config.policy, &self.database);
        let v4 = self.image.prefixes_v4(policy, database)?;
        let v6 = self.image.prefixes_v6(policy, database)?;
        Ok(Some(LpmPrefixes { v4, v6 }))
    }

    /// What the guard has to say about the data where none is in use to compare it with.
    pub fn first_data(&self) -> Result<First, FirstError> {
        if self.config.databases.is_empty() && self.others.second.is_none() {
            return Ok(First::default());
        }
        First::judge(&self.config.policy, self.image.words())
    }

    /// What the two databases say of an address, where there is a second opinion.
    pub fn opinions(&self, ip: IpAddr) -> Result<Option<Opinions>, geoip::Error> {
        let Some(second) = &self.others.second else {
            return Ok(None);
        };
        Ok(Some(Opinions {
            agreement: self.config.policy.cross_check,
            first: geoip::country(&self.readers, ip)?,
            second: geoip::country(&second.readers, ip)?,
        }))
    }

    /// What the operator should know about the data before it is used, in sentences.
    #[must_use]
    pub fn data_warnings(&self) -> Vec<String> {
        let mut warnings = self.lists.warnings.clone();
        let info = self.database.info();
        let age = info.age_days(now());
        if age > DATA_AGE_MAX_DAYS {
            warnings.push(format!(
                "the GeoIP data is {age} days old; addresses move between countries, so name a newer file with \
                 --database or `databases`, or upgrade geofence"
            ));
        }
        for source in self.others.sources() {
            let age = now().saturating_sub(source.built) / 86_400;
            if age > DATA_AGE_MAX_DAYS {
                warnings.push(format!(
                    "{} is {age} days old; name a newer file",
                    source.name
                ));
            }
        }
        for source in info
            .sources
            .iter()
            .filter(|source| !source.foreign_codes.is_empty())
        {
            let codes: Vec<&str> = source.foreign_codes.keys().map(String::as_str).collect();
            warnings.push(format!(
                "{} uses {}, which ISO 3166-1 does not list; {} networks count as unknown",
                source.name,
                codes.join(", "),
                source.foreign_codes.values().sum::<usize>()
            ));
        }
        let now = UnixSeconds::now();
        let policy = &self.config.policy;
        let lapsed = policy.exceptions.iter().filter_map(|exception| {
            let until = exception.until.filter(|until| *until <= now)?;
            Some(format!(
                "exception {} lapsed at {}; remove it, or give it another `until`",
                exception.id, until
            ))
        });
        few(&mut warnings, lapsed, "exceptions have lapsed as well");
        let lapsing = policy.expiring_exceptions(now).map(|exception| {
            format!(
                "exception {} lapses at {}; {} answers for it",
                exception.id,
                exception.until.unwrap_or_default(),
                exception.owner
            )
        });
        few(
            &mut warnings,
            lapsing,
            "exceptions lapse within a week as well",
        );
        if info.conflicts > 0 {
            warnings.push(format!(
                "the databases disagree about {} networks; the first file named decides",
                info.conflicts
            ));
        }
        warnings
    }
}

/// Adds the first of these warnings, and how many there are besides, of which there may be a hundred thousand.
fn few(warnings: &mut Vec<String>, mut all: impl Iterator<Item = String>, others: &str) {
    const SHOWN: usize = 20;
    warnings.extend(all.by_ref().take(SHOWN));
    let rest = all.count();
    if rest > 0 {
        warnings.push(format!(
            "{rest} {others}; `geofence exception list` shows them all"
        ));
    }
}

/// What two databases say of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opinions {
    pub agreement: CrossCheckRule,
    pub first: Country,
    pub second: Country,
}

impl Opinions {
    /// Whether there is a second opinion, and another.
    #[must_use]
    pub fn differ(&self) -> bool {
        self.second != Country::UNKNOWN && self.first != self.second
    }

    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "first": self.first.name(),
            "second": self.second.name(),
            "agreement": self.agreement.word(),
        })
    }
}

impl fmt::Display for Opinions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} by the first database, {} by the second; agreement is {:?}",
            country(self.first),
            country(self.second),
            self.agreement.word()
        )
    }
}

/// Room for this many and as many again, and for this many at least.
fn room(count: usize, least: u32) -> u32 {
    u32::try_from(2 * count).unwrap_or(u32::MAX).max(least)
}

/// How the kernel's maps are to be sized for an image and its successors.
#[must_use]
pub fn options(config: &Config, image: &Image, traced: bool) -> FilterOptions {
    let automatic = (2 * image.size() as u64).clamp(CAPACITY_MIN_BYTES, CAPACITY_MAX_BYTES);
    let [v4, v6] = image.prefixes();
    let policy = &config.policy;
    let others = policy.lists.iter().map(|list| list.entries().len());
    let lists =
        policy.management.len() + policy.allow.len() + policy.deny.len() + others.sum::<usize>();
    let excepted = policy
        .exceptions
        .iter()
        .map(|exception| exception.from.len());
    let systems = policy.systems.iter().map(|system| system.prefixes.len());
    let lists = lists + excepted.sum::<usize>() + systems.sum::<usize>();
    // Overlays and special-use blocks split prefixes of the data; as many again is room for the next database.
    let entries = 2 * u64::from(v4.max(v6)) + 64 * lists as u64 + 65_536;
    FilterOptions {
        lookup: policy.lookup,
        image_lines: lines(config.image_capacity.unwrap_or(automatic)),
        trie_entries: u32::try_from(entries).unwrap_or(u32::MAX),
        flows: [
            config.flows.mail,
            config.flows.dns,
            if policy.replies == Replies::All {
                config.flows.other
            } else {
                1
            },
        ],
        tenants: room(policy.tenants.len(), 16).min(TENANTS_MAX) + 1,
        exceptions: room(policy.exceptions.len() + policy.protections.len(), 1024),
        buckets: if policy.rate_limit.is_some() {
            BUCKETS
        } else {
            1
        },
        interfaces: u32::try_from(config.interfaces.len()).unwrap_or(u32::MAX),
        traced,
    }
}

fn lines(bytes: u64) -> u32 {
    u32::try_from(bytes / LINE_BYTES).unwrap_or(u32::MAX)
}

/// This moment since boot. Where the kernel does not tell, exceptions lapse early rather than late.
#[must_use]
pub fn boot() -> Boot {
    let id = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    Boot {
        id: crc32fast::hash(&id),
        now: boot_now().unwrap_or(0),
    }
}

/// Seconds since 1970; zero on a clock before that.
#[must_use]
pub fn now() -> u64 {
    UnixSeconds::now().0
}
