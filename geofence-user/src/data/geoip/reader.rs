//! One database file in memory: its networks with their countries, and its records.
//!
//! The whole search tree is walked and every record in it decoded once, at load, so that a damaged file is refused
//! then and never half believed. The walk is ours because the work it may do is bounded by the size of the file,
//! whatever the file says; records are decoded by maxminddb.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use geofence_common::country::Country;
use ipnet::IpNet;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::content;
use super::error::Error;
use super::record::{Answer, Json, Record};
use super::tree::{self, Networks};

/// The reader that decodes records. Its bytes are shared with the walk over the tree.
pub(super) type Mmdb = maxminddb::Reader<Arc<[u8]>>;

/// What stands in front of the metadata at the end of every file.
const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";

/// What a file says of itself, and what was found in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceInfo {
    /// The file's path, or what the embedded database is called.
    pub name: String,
    pub database_type: String,
    /// The English description, or any; often empty.
    pub description: String,
    /// When the data was built, seconds since 1970.
    pub built: u64,
    pub node_count: u32,
    /// Networks with a country.
    pub prefixes_v4: usize,
    pub prefixes_v6: usize,
    /// Networks with a record that names no country.
    pub without_country: usize,
    /// Codes that are not of ISO 3166-1, with the number of networks that have each; these count as unknown.
    pub foreign_codes: BTreeMap<String, usize>,
}

/// A database file that was read and found sound.
pub struct Reader {
    mmdb: Mmdb,
    info: SourceInfo,
}

impl Reader {
    /// Reads a file and checks all of it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_with_networks(path).map(|(reader, _)| reader)
    }

    /// Checks a database in memory; `name` is what errors call it.
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Self, Error> {
        Self::with_networks(name, bytes).map(|(reader, _)| reader)
    }

    pub(super) fn open_with_networks(path: &Path) -> Result<(Self, Networks), Error> {
        Self::with_networks(&path.display().to_string(), content::read(path)?)
    }

    pub(super) fn with_networks(name: &str, bytes: Vec<u8>) -> Result<(Self, Networks), Error> {
        let (mut reader, bytes) = Self::sound(name, bytes)?;
        let found = tree::countries(&reader.mmdb, &bytes).map_err(|cause| reader.corrupt(cause))?;
        let info = &mut reader.info;
        info.prefixes_v4 = found.networks.v4.len();
        info.prefixes_v6 = found.networks.v6.len();
        info.without_country = found.without_country;
        info.foreign_codes = found.foreign_codes;
        require_countries(info)?;
        Ok((reader, found.networks))
    }

    /// A database whose metadata can be read, and its bytes; nothing is known of its networks yet.
    pub(super) fn sound(name: &str, bytes: Vec<u8>) -> Result<(Self, Arc<[u8]>), Error> {
        let bytes: Arc<[u8]> = content::unpack(name, bytes)?.into();
        if !bytes
            .windows(MARKER.len())
            .rev()
            .any(|window| window == MARKER)
        {
            return Err(Error::NotMmdb {
                file: name.to_owned(),
            });
        }
        let corrupt = |cause: String| Error::Corrupt {
            file: name.to_owned(),
            cause,
        };
        let mmdb =
            Mmdb::from_source(Arc::clone(&bytes)).map_err(|error| corrupt(error.to_string()))?;
        let metadata = mmdb.metadata();
        let description = metadata
            .description
            .get("en")
            .or_else(|| metadata.description.values().next())
            .cloned()
            .unwrap_or_default();
        let info = SourceInfo {
            name: name.to_owned(),
            database_type: metadata.database_type.clone(),
            description,
            built: metadata.build_epoch,
            node_count: metadata.node_count,
            prefixes_v4: 0,
            prefixes_v6: 0,
            without_country: 0,
            foreign_codes: BTreeMap::new(),
        };
        Ok((Self { mmdb, info }, bytes))
    }

    fn corrupt(&self, cause: impl ToString) -> Error {
        Error::Corrupt {
            file: self.info.name.clone(),
            cause: cause.to_string(),
        }
    }

    /// Walks the whole file for its autonomous systems.
    pub(super) fn walk_systems(
        &self,
        bytes: &[u8],
        found: impl FnMut(IpNet, &Option<(u32, String)>),
    ) -> Result<(), Error> {
        tree::walk(&self.mmdb, bytes, Record::system, found).map_err(|cause| self.corrupt(cause))
    }

    #[must_use]
    pub fn info(&self) -> &SourceInfo {
        &self.info
    }

    /// The record for an address and the network it is stored under.
    pub fn record(&self, ip: IpAddr) -> Result<Option<(IpNet, Value)>, Error> {
        let found = self.decode::<Json>(ip)?;
        Ok(found.map(|(network, Json(value))| (network, value)))
    }

    /// The country of an address, if it has one, and the network it is stored under.
    pub(super) fn country(&self, ip: IpAddr) -> Result<Option<(IpNet, Country)>, Error> {
        let found = self.decode::<Record>(ip)?;
        Ok(found.and_then(|(network, record)| match record.answer() {
            Answer::Country(country) => Some((network, country)),
            Answer::Foreign(_) | Answer::Nothing => None,
        }))
    }

    /// The number and the name of an address's autonomous system, and the network it is stored under.
    pub(super) fn system(&self, ip: IpAddr) -> Result<Option<(IpNet, u32, String)>, Error> {
        let found = self.decode::<Record>(ip)?;
        Ok(found.and_then(|(network, record)| {
            let (number, name) = record.system()?;
            Some((network, number, name))
        }))
    }

    fn decode<T: DeserializeOwned>(&self, ip: IpAddr) -> Result<Option<(IpNet, T)>, Error> {
        if ip.is_ipv6() && self.mmdb.metadata().ip_version == 4 {
            return Ok(None);
        }
        let corrupt = |error: maxminddb::MaxMindDbError| self.corrupt(error);
        let found = self.mmdb.lookup(ip).map_err(corrupt)?;
        let network = found.network().map_err(corrupt)?;
        // A file without IPv4 data can hold an IPv6 network above where IPv4 would be; that is no answer for IPv4.
        if network.ip().is_ipv6() != ip.is_ipv6() {
            return Ok(None);
        }
        let Some(value) = found.decode().map_err(corrupt)? else {
            return Ok(None);
        };
        Ok(IpNet::new(network.ip(), network.prefix())
            .ok()
            .map(|network| (network, value)))
    }
}

/// Refuses a file that is sound but tells no country.
fn require_countries(info: &SourceInfo) -> Result<(), Error> {
    /// How many codes an error shows.
    const CODES_SHOWN: usize = 5;
    let file = info.name.clone();
    if info.prefixes_v4 + info.prefixes_v6 > 0 {
        return Ok(());
    }
    if !info.foreign_codes.is_empty() {
        let codes: Vec<_> = info
            .foreign_codes
            .keys()
            .take(CODES_SHOWN)
            .map(|code| format!("{code:?}"))
            .collect();
        return Err(Error::ForeignCodes {
            file,
            codes: codes.join(", "),
        });
    }
    if info.without_country == 0 {
        return Err(Error::NoNetworks { file });
    }
    Err(Error::WrongType {
        file,
        database_type: info.database_type.clone(),
        networks: info.without_country,
    })
}
