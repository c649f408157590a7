//! One country database: the prefixes that have a country, and counts of those that have none.

use std::path::Path;

use geofence_common::country::Country;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::data::mmdb::{CountryField, DatabaseError, Reader, SourceInfo};

/// Prefixes with their country, in order of address.
#[derive(Default)]
pub(super) struct Prefixes {
    pub(super) v4: Vec<(Ipv4Net, Country)>,
    pub(super) v6: Vec<(Ipv6Net, Country)>,
}

/// Reads a file and checks all of it.
pub(super) fn open(path: &Path) -> Result<(Reader, Prefixes), DatabaseError> {
    check(Reader::open(path)?)
}

/// Checks all of a database in memory; errors call it `name`.
pub(super) fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<(Reader, Prefixes), DatabaseError> {
    check(Reader::from_bytes(name, bytes)?)
}

fn check(mut reader: Reader) -> Result<(Reader, Prefixes), DatabaseError> {
    let mut info = reader.info().clone();
    let mut prefixes = Prefixes::default();
    reader.walk(
        |record| record.country(),
        |network, country| match (country, network) {
            (CountryField::Country(country), IpNet::V4(network)) => {
                prefixes.v4.push((network, *country))
            }
            (CountryField::Country(country), IpNet::V6(network)) => {
                prefixes.v6.push((network, *country))
            }
            (CountryField::Foreign(code), _) => {
                *info.foreign_codes.entry(code.clone()).or_default() += 1
            }
            (CountryField::Absent, _) => info.without_country += 1,
        },
    )?;
    info.prefixes_v4 = prefixes.v4.len();
    info.prefixes_v6 = prefixes.v6.len();
    require_countries(&info)?;
    reader.info = info;
    Ok((reader, prefixes))
}

/// Refuses a file that is sound but has no country.
fn require_countries(info: &SourceInfo) -> Result<(), DatabaseError> {
    const CODES_SHOWN: usize = 5;
    let file = info.name.clone();
    if info.prefixes_v4 + info.prefixes_v6 > 0 {
        return Ok(());
    }
    if !info.foreign_codes.is_empty() {
        let codes = info.foreign_codes.keys().take(CODES_SHOWN);
        let codes: Vec<_> = codes.map(|code| format!("{code:?}")).collect();
        let codes = codes.join(", ");
        return Err(DatabaseError::ForeignCodes { file, codes });
    }
    if info.without_country == 0 {
        return Err(DatabaseError::NoNetworks { file });
    }
    Err(DatabaseError::WrongType {
        file,
        database_type: info.database_type.clone(),
        networks: info.without_country,
        lacks: "a country",
        instead: "a country database, for example GeoLite2-Country or DB-IP Country Lite",
    })
}
