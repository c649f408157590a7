//! The country of every prefix, from one file or several.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use geofence_common::country::Country;
use ipnet::{Ipv4Net, Ipv6Net};

use super::countries::{self, Prefixes};
use crate::data::mmdb::{CountryField, DatabaseError, Reader, SourceInfo};
use crate::model::units::UnixSeconds;

/// What the licence of the embedded database asks to be shown wherever it is used.
pub const ATTRIBUTION: &str =
    "IP Geolocation by DB-IP (https://db-ip.com), DB-IP Country Lite, licensed under CC BY 4.0";

/// The name of the embedded database, shown in place of a path.
pub const EMBEDDED_NAME: &str = "DB-IP Country Lite (embedded)";

pub(super) const EMBEDDED: &[u8] = include_bytes!("../../../data/dbip-country-lite.mmdb.zst");

/// When the embedded database was built.
pub fn embedded_built() -> Result<UnixSeconds, DatabaseError> {
    let reader = Reader::from_bytes(EMBEDDED_NAME, EMBEDDED.to_vec())?;
    Ok(reader.info().built)
}

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
    /// Prefixes that two files assign to different countries; the first file decides.
    pub conflicts: usize,
    /// The attribution that must be shown with the data, if any.
    pub attribution: Option<&'static str>,
}

impl Info {
    /// When the oldest of the files was built.
    #[must_use]
    pub fn built(&self) -> UnixSeconds {
        let built = self.sources.iter().map(|source| source.built);
        built.min().unwrap_or_default()
    }

    /// Whole days since the oldest file was built.
    #[must_use]
    pub fn age_days(&self, now: UnixSeconds) -> u64 {
        now.days_since(self.built())
    }
}

impl Database {
    /// The database inside the program.
    pub fn embedded() -> Result<Self, DatabaseError> {
        let (database, _) = Self::embedded_with_reader()?;
        Ok(database)
    }

    /// The database inside the program, and a reader for its records.
    pub fn embedded_with_reader() -> Result<(Self, Reader), DatabaseError> {
        let (reader, prefixes) = countries::from_bytes(EMBEDDED_NAME, EMBEDDED.to_vec())?;
        let mut database = Self::merge(vec![prefixes], vec![reader.info().clone()]);
        database.info.attribution = Some(ATTRIBUTION);
        Ok((database, reader))
    }

    /// Reads these files and merges them.
    pub fn open(paths: &[PathBuf]) -> Result<Self, DatabaseError> {
        let (database, _) = Self::open_with_readers(paths)?;
        Ok(database)
    }

    /// Reads these files and merges them, keeping a reader for the records of each.
    pub fn open_with_readers(paths: &[PathBuf]) -> Result<(Self, Vec<Reader>), DatabaseError> {
        if paths.is_empty() {
            return Err(DatabaseError::NoFiles);
        }
        let mut readers = Vec::new();
        let mut files = Vec::new();
        for path in paths {
            let (reader, prefixes) = countries::open(path)?;
            readers.push(reader);
            files.push(prefixes);
        }
        let infos = readers.iter().map(|reader| reader.info().clone());
        let infos = infos.collect();
        Ok((Self::merge(files, infos), readers))
    }

    /// A database of prefixes that come from no file. Of equal prefixes the first counts.
    #[must_use]
    pub fn from_prefixes(
        prefixes_v4: Vec<(Ipv4Net, Country)>,
        prefixes_v6: Vec<(Ipv6Net, Country)>,
    ) -> Self {
        let v4 = prefixes_v4.into_iter();
        let v6 = prefixes_v6.into_iter();
        let prefixes = Prefixes {
            v4: v4.map(|(net, country)| (net.trunc(), country)).collect(),
            v6: v6.map(|(net, country)| (net.trunc(), country)).collect(),
        };
        Self::merge(vec![prefixes], Vec::new())
    }

    /// The same prefixes with another origin.
    pub(crate) fn with_info(self, info: Info) -> Self {
        Self { info, ..self }
    }

    pub(super) fn merge(files: Vec<Prefixes>, sources: Vec<SourceInfo>) -> Self {
        let (v4, v6): (Vec<_>, Vec<_>) = files.into_iter().map(|file| (file.v4, file.v6)).unzip();
        let (prefixes_v4, conflicts_v4) = merged(v4);
        let (prefixes_v6, conflicts_v6) = merged(v6);
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

/// The country of an address by the longest network in these files; of equal networks the first file's.
pub fn country(readers: &[Reader], ip: IpAddr) -> Result<Country, DatabaseError> {
    let mut best: Option<(u8, Country)> = None;
    for reader in readers {
        if let Some((network, record)) = reader.fields(ip)?
            && let CountryField::Country(country) = record.country()
            && best.is_none_or(|(length, _)| network.prefix_len() > length)
        {
            best = Some((network.prefix_len(), country));
        }
    }
    Ok(best.map_or(Country::UNKNOWN, |(_, country)| country))
}

/// The prefixes of all files, sorted; of equal ones the first file's. Counts those whose countries differ.
fn merged<N: Ord + Copy>(files: Vec<Vec<(N, Country)>>) -> (Vec<(N, Country)>, usize) {
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
