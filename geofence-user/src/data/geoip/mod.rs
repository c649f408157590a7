//! GeoIP data: from MMDB files, or the embedded one, to the country of every prefix.
//!
//! Files are input and may be anything; what leaves this module is sound, sorted and free of duplicates. Which
//! addresses have no country whatever a file claims is not decided here but where images are compiled.

mod content;
mod error;
mod reader;
mod record;
mod systems;
mod tree;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use geofence_common::country::Country;
use ipnet::{Ipv4Net, Ipv6Net};

pub use error::Error;
pub use reader::{Reader, SourceInfo};
pub use systems::Systems;

/// What the embedded database's licence asks to be shown wherever it is used.
pub const ATTRIBUTION: &str =
    "IP Geolocation by DB-IP (https://db-ip.com), DB-IP Country Lite, licensed under CC BY 4.0";

/// What the embedded database is called where a file's path would stand.
pub const EMBEDDED_NAME: &str = "DB-IP Country Lite (embedded)";

const EMBEDDED: &[u8] = include_bytes!("../../../data/dbip-country-lite.mmdb.zst");

const SECONDS_PER_DAY: u64 = 86_400;

/// The country of every prefix that has one, from one file or several. Clones share the prefixes.
#[derive(Clone, Debug)]
pub struct Database {
    prefixes_v4: Arc<Vec<(Ipv4Net, Country)>>,
    prefixes_v6: Arc<Vec<(Ipv6Net, Country)>>,
    info: Info,
}

/// Where the data came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// The files, in the order given.
    pub sources: Vec<SourceInfo>,
    /// Prefixes that two files have with different countries; the first file's country was taken.
    pub conflicts: usize,
    /// What must be shown with the data, if anything.
    pub attribution: Option<&'static str>,
}

impl Info {
    /// When the oldest of the files was built, seconds since 1970.
    #[must_use]
    pub fn built(&self) -> u64 {
        self.sources
            .iter()
            .map(|source| source.built)
            .min()
            .unwrap_or(0)
    }

    /// Whole days from the oldest file's build until `now`, seconds since 1970.
    #[must_use]
    pub fn age_days(&self, now: u64) -> u64 {
        now.saturating_sub(self.built()) / SECONDS_PER_DAY
    }
}

impl Database {
    /// The database inside the program.
    pub fn embedded() -> Result<Self, Error> {
        let (database, _) = Self::embedded_with_reader()?;
        Ok(database)
    }

    /// The database inside the program, and a reader for its records.
    pub fn embedded_with_reader() -> Result<(Self, Reader), Error> {
        let (reader, networks) = Reader::with_networks(EMBEDDED_NAME, EMBEDDED.to_vec())?;
        let mut database = Self::merge(vec![networks], vec![reader.info().clone()]);
        database.info.attribution = Some(ATTRIBUTION);
        Ok((database, reader))
    }

    /// Reads these files and merges them.
    pub fn open(paths: &[PathBuf]) -> Result<Self, Error> {
        let (database, _) = Self::open_with_readers(paths)?;
        Ok(database)
    }

    /// Reads these files and merges them, keeping a reader for the records of each.
    pub fn open_with_readers(paths: &[PathBuf]) -> Result<(Self, Vec<Reader>), Error> {
        if paths.is_empty() {
            return Err(Error::NoFiles);
        }
        let mut readers = Vec::new();
        let mut networks = Vec::new();
        let mut infos = Vec::new();
        for path in paths {
            let (reader, found) = Reader::open_with_networks(path)?;
            infos.push(reader.info().clone());
            networks.push(found);
            readers.push(reader);
        }
        Ok((Self::merge(networks, infos), readers))
    }

    /// A database of these prefixes, which came from no file. Of equal prefixes the first counts.
    #[must_use]
    pub fn from_prefixes(
        prefixes_v4: Vec<(Ipv4Net, Country)>,
        prefixes_v6: Vec<(Ipv6Net, Country)>,
    ) -> Self {
        let networks = tree::Networks {
            v4: prefixes_v4
                .into_iter()
                .map(|(network, country)| (network.trunc(), country))
                .collect(),
            v6: prefixes_v6
                .into_iter()
                .map(|(network, country)| (network.trunc(), country))
                .collect(),
        };
        Self::merge(vec![networks], Vec::new())
    }

    /// The same prefixes with another account of where they came from.
    pub(crate) fn with_info(self, info: Info) -> Self {
        Self { info, ..self }
    }

    fn merge(files: Vec<tree::Networks>, sources: Vec<SourceInfo>) -> Self {
        let (v4, v6): (Vec<_>, Vec<_>) = files.into_iter().map(|file| (file.v4, file.v6)).unzip();
        let (prefixes_v4, conflicts_v4) = unite(v4);
        let (prefixes_v6, conflicts_v6) = unite(v6);
        Self {
            prefixes_v4: Arc::new(prefixes_v4),
            prefixes_v6: Arc::new(prefixes_v6),
            info: Info {
                sources,
                conflicts: conflicts_v4 + conflicts_v6,
                attribution: None,
            },
        }
    }

    /// IPv4 prefixes in order of address, then length; no two are equal, but one may lie in another.
    #[must_use]
    pub fn prefixes_v4(&self) -> &[(Ipv4Net, Country)] {
        &self.prefixes_v4
    }

    /// IPv6 prefixes in order of address, then length; no two are equal, but one may lie in another.
    #[must_use]
    pub fn prefixes_v6(&self) -> &[(Ipv6Net, Country)] {
        &self.prefixes_v6
    }

    #[must_use]
    pub fn info(&self) -> &Info {
        &self.info
    }
}

/// What the files say of an address, by the longest network; of equal ones the first file's.
pub fn country(readers: &[Reader], ip: IpAddr) -> Result<Country, Error> {
    let mut best: Option<(u8, Country)> = None;
    for reader in readers {
        if let Some((network, country)) = reader.country(ip)?
            && best.is_none_or(|(length, _)| network.prefix_len() > length)
        {
            best = Some((network.prefix_len(), country));
        }
    }
    Ok(best.map_or(Country::UNKNOWN, |(_, country)| country))
}

/// All files' prefixes, sorted; of equal ones the first file's. Counts those that differed in the country.
fn unite<N: Ord + Copy>(files: Vec<Vec<(N, Country)>>) -> (Vec<(N, Country)>, usize) {
    let mut conflicts = 0;
    let mut all = files.concat();
    // The sort is stable, so of equal prefixes the first file's comes first.
    all.sort_by_key(|(network, _)| *network);
    all.dedup_by(|later, earlier| {
        let equal = later.0 == earlier.0;
        conflicts += usize::from(equal && later.1 != earlier.1);
        equal
    });
    (all, conflicts)
}

#[cfg(test)]
mod tests;
