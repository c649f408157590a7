//! One database file in memory.
//!
//! `walk` decodes every record once at load, so a damaged file is refused as a whole. The walk is our own, because the
//! size of the file bounds its work whatever the file says; maxminddb decodes the records.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use ipnet::IpNet;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::content;
use super::error::DatabaseError;
use super::record::{Json, Record};
use super::tree::{self, Mmdb};
use crate::model::units::UnixSeconds;

/// The bytes in front of the metadata at the end of every file.
const METADATA_MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";

/// What a file says about itself, and the number of networks found in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceInfo {
    /// The path of the file, or the name of the embedded database.
    pub name: String,
    pub database_type: String,
    /// The English description, or any; often empty.
    pub description: String,
    /// When the data was built.
    pub built: UnixSeconds,
    pub node_count: u32,
    /// Networks with a country.
    pub prefixes_v4: usize,
    pub prefixes_v6: usize,
    /// Networks whose record has no country.
    pub without_country: usize,
    /// Codes that are not in ISO 3166-1, each with its number of networks; these count as unknown.
    pub foreign_codes: BTreeMap<String, usize>,
}

/// A database file whose metadata is valid. Its records are trusted after a `walk` only.
pub struct Reader {
    mmdb: Mmdb,
    bytes: Arc<[u8]>,
    pub(in crate::data) info: SourceInfo,
}

impl Reader {
    /// Reads a file.
    pub(in crate::data) fn open(path: &Path) -> Result<Self, DatabaseError> {
        Self::from_bytes(&path.display().to_string(), content::read(path)?)
    }

    /// Takes a database in memory; errors call it `name`.
    pub(in crate::data) fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Self, DatabaseError> {
        let bytes: Arc<[u8]> = content::unpack(name, bytes)?.into();
        let mut windows = bytes.windows(METADATA_MARKER.len()).rev();
        if !windows.any(|window| window == METADATA_MARKER) {
            let file = name.to_owned();
            return Err(DatabaseError::NotMmdb { file });
        }
        let mmdb = Mmdb::from_source(Arc::clone(&bytes)).map_err(|cause| corrupt(name, cause))?;
        let metadata = mmdb.metadata();
        let description = metadata
            .description
            .get("en")
            .or_else(|| metadata.description.values().next());
        let info = SourceInfo {
            name: name.to_owned(),
            database_type: metadata.database_type.clone(),
            description: description.cloned().unwrap_or_default(),
            built: UnixSeconds(metadata.build_epoch),
            node_count: metadata.node_count,
            ..SourceInfo::default()
        };
        Ok(Self { mmdb, bytes, info })
    }

    /// Walks the whole file; see `tree::walk`.
    pub(in crate::data) fn walk<A>(
        &self,
        read: fn(Record) -> A,
        found: impl FnMut(IpNet, &A),
    ) -> Result<(), DatabaseError> {
        tree::walk(&self.mmdb, &self.bytes, read, found).map_err(|cause| self.corrupt(cause))
    }

    fn corrupt(&self, cause: impl ToString) -> DatabaseError {
        corrupt(&self.info.name, cause)
    }

    #[must_use]
    pub fn info(&self) -> &SourceInfo {
        &self.info
    }

    /// The record of an address as JSON, and the network it is stored under.
    pub fn record(&self, ip: IpAddr) -> Result<Option<(IpNet, Value)>, DatabaseError> {
        let found = self.decode::<Json>(ip)?;
        Ok(found.map(|(network, Json(value))| (network, value)))
    }

    /// The wanted fields of an address's record, and the network it is stored under.
    pub(in crate::data) fn fields(
        &self,
        ip: IpAddr,
    ) -> Result<Option<(IpNet, Record)>, DatabaseError> {
        self.decode(ip)
    }

    fn decode<T: DeserializeOwned>(&self, ip: IpAddr) -> Result<Option<(IpNet, T)>, DatabaseError> {
        if ip.is_ipv6() && self.mmdb.metadata().ip_version == 4 {
            return Ok(None);
        }
        let corrupt = |error: maxminddb::MaxMindDbError| self.corrupt(error);
        let found = self.mmdb.lookup(ip).map_err(corrupt)?;
        let network = found.network().map_err(corrupt)?;
        // A file without IPv4 data can have an IPv6 network above the place of IPv4, which says nothing about IPv4.
        if network.ip().is_ipv6() != ip.is_ipv6() {
            return Ok(None);
        }
        let Some(value) = found.decode().map_err(corrupt)? else {
            return Ok(None);
        };
        let network = IpNet::new(network.ip(), network.prefix()).ok();
        Ok(network.map(|network| (network, value)))
    }
}

fn corrupt(name: &str, cause: impl ToString) -> DatabaseError {
    DatabaseError::Corrupt {
        file: name.to_owned(),
        cause: cause.to_string(),
    }
}
