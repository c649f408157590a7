//! An ASN database: the autonomous system of every network, and the name of its organisation.
//!
//! A file counts as an ASN database by what its records hold, whatever it is called.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::mmdb::{DatabaseError, Reader, SourceInfo};

/// An ASN database, checked whole.
pub struct AsDatabase {
    reader: Reader,
    v4: Vec<(Ipv4Net, u32)>,
    v6: Vec<(Ipv6Net, u32)>,
    names: BTreeMap<u32, String>,
}

impl AsDatabase {
    /// Reads a file and checks all of it.
    pub fn open(path: &Path) -> Result<Self, DatabaseError> {
        Self::check(Reader::open(path)?)
    }

    /// Checks all of a database in memory; errors call it `name`.
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Self, DatabaseError> {
        Self::check(Reader::from_bytes(name, bytes)?)
    }

    fn check(reader: Reader) -> Result<Self, DatabaseError> {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        let mut names: BTreeMap<u32, String> = BTreeMap::new();
        let mut without = 0;
        reader.walk(
            |record| record.autonomous_system(),
            |network, system| {
                let Some((number, name)) = system else {
                    without += 1;
                    return;
                };
                // If a name differs between networks, the first one that is not empty counts.
                let known = names.entry(*number).or_default();
                if known.is_empty() {
                    known.clone_from(name);
                }
                match network {
                    IpNet::V4(network) => v4.push((network, *number)),
                    IpNet::V6(network) => v6.push((network, *number)),
                }
            },
        )?;
        if !names.is_empty() {
            return Ok(Self {
                reader,
                v4,
                v6,
                names,
            });
        }
        let (file, database_type) = (reader.info.name, reader.info.database_type);
        Err(if without == 0 {
            DatabaseError::NoNetworks { file }
        } else {
            DatabaseError::WrongType {
                file,
                database_type,
                networks: without,
                lacks: "an AS number",
                instead: "an ASN database, for example GeoLite2-ASN or DB-IP ASN Lite",
            }
        })
    }

    /// What the file says about itself. The counts of networks in it are zero.
    #[must_use]
    pub fn info(&self) -> &SourceInfo {
        self.reader.info()
    }

    /// How many networks of each family have an autonomous system.
    #[must_use]
    pub fn networks(&self) -> [usize; 2] {
        [self.v4.len(), self.v6.len()]
    }

    /// How many IPv4 addresses have an autonomous system.
    #[must_use]
    pub fn addresses_v4(&self) -> u64 {
        let lengths = self.v4.iter().map(|(network, _)| network.prefix_len());
        lengths.map(|length| 1 << (32 - u32::from(length))).sum()
    }

    /// Every AS number with the name of its organisation, which may be empty, in order of number.
    #[must_use]
    pub fn names(&self) -> &BTreeMap<u32, String> {
        &self.names
    }

    /// The smallest set of prefixes that covers an autonomous system, sorted.
    #[must_use]
    pub fn prefixes(&self, number: u32) -> Vec<IpNet> {
        let v4 = self.v4.iter().filter(|(_, system)| *system == number);
        let v6 = self.v6.iter().filter(|(_, system)| *system == number);
        let v4: Vec<Ipv4Net> = v4.map(|(network, _)| *network).collect();
        let v6: Vec<Ipv6Net> = v6.map(|(network, _)| *network).collect();
        let v4 = Ipv4Net::aggregate(&v4).into_iter().map(IpNet::V4);
        let v6 = Ipv6Net::aggregate(&v6).into_iter().map(IpNet::V6);
        let mut prefixes: Vec<IpNet> = v4.chain(v6).collect();
        prefixes.sort_unstable();
        prefixes
    }

    /// The AS number and the organisation of an address, and the network they are stored under.
    pub fn find(&self, ip: IpAddr) -> Result<Option<(IpNet, u32, String)>, DatabaseError> {
        Ok(self.reader.fields(ip)?.and_then(|(network, record)| {
            let (number, name) = record.autonomous_system()?;
            Some((network, number, name))
        }))
    }

    /// What names the system of an address; the tables of all networks and names go.
    #[must_use]
    pub fn into_lookup(self) -> AsLookup {
        AsLookup(self.reader)
    }
}

/// The file of an ASN database, which names the system of an address.
pub struct AsLookup(Reader);

impl AsLookup {
    /// The AS number and the organisation of an address.
    #[must_use]
    pub fn find(&self, ip: IpAddr) -> Option<(u32, String)> {
        // The file was checked whole.
        let (_, record) = self.0.fields(ip).ok()??;
        record.autonomous_system()
    }
}

impl fmt::Debug for AsLookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AsLookup").field(&self.0.info.name).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mmdb_writer::{Schema, Writer};

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn written(schema: Schema) -> Writer {
        let mut writer = Writer::new(schema);
        writer.database_type = "Test-ASN".to_owned();
        writer
            .add_code(net("198.51.100.0/25"), "64500 Example Org")
            .add_code(net("198.51.100.128/25"), "64500 Example Org")
            .add_code(net("203.0.113.0/24"), "64501 Other Ltd")
            .add_code(net("2001:db8:17::/48"), "64500 Example Org")
            .add_code(net("192.0.2.0/24"), "4200000000 ");
        writer
    }

    #[test]
    fn as_database_is_the_same_for_every_schema_and_record_size() {
        for schema in [Schema::Asn, Schema::AsnText] {
            for (record_size, aliases) in [(24, false), (28, true), (32, false)] {
                let mut writer = written(schema);
                (writer.record_size, writer.aliases) = (record_size, aliases);
                let database = AsDatabase::from_bytes("test.mmdb", writer.finish()).unwrap();
                assert_eq!(database.networks(), [4, 1]);
                assert_eq!(database.addresses_v4(), 3 * 256);
                assert_eq!(
                    database.prefixes(64_500),
                    [net("198.51.100.0/24"), net("2001:db8:17::/48")]
                );
                assert!(database.prefixes(64_999).is_empty());
                let names: Vec<_> = database
                    .names()
                    .iter()
                    .map(|(number, name)| (*number, name.as_str()))
                    .collect();
                let expected = [
                    (64_500, "Example Org"),
                    (64_501, "Other Ltd"),
                    (4_200_000_000, ""),
                ];
                assert_eq!(names, expected);
                let of = |ip: &str| database.find(ip.parse().unwrap()).unwrap();
                let (network, number, name) = of("198.51.100.200").unwrap();
                assert_eq!((network, number), (net("198.51.100.128/25"), 64_500));
                assert_eq!(name, "Example Org");
                assert_eq!(
                    of("2001:db8:17::1").map(|(_, number, _)| number),
                    Some(64_500)
                );
                assert!(of("8.8.8.8").is_none());
            }
        }
    }

    #[test]
    fn as_database_without_as_numbers_is_refused() {
        let mut countries = Writer::new(Schema::Nested);
        countries.add_code(net("198.51.100.0/24"), "DE");
        let error = AsDatabase::from_bytes("test.mmdb", countries.finish()).err();
        let text = error.unwrap().to_string();
        assert!(text.contains("test.mmdb is of the wrong type"), "{text}");
        assert!(text.contains("use an ASN database"), "{text}");
        let mut unassigned = Writer::new(Schema::Asn);
        unassigned.add_code(net("198.51.100.0/24"), "0 Unassigned");
        let error = AsDatabase::from_bytes("test.mmdb", unassigned.finish()).err();
        assert!(matches!(
            error,
            Some(DatabaseError::WrongType { networks: 1, .. })
        ));
        let empty = Writer::new(Schema::Asn).finish();
        let error = AsDatabase::from_bytes("test.mmdb", empty).err();
        assert!(matches!(error, Some(DatabaseError::NoNetworks { .. })));
        let missing = AsDatabase::open(Path::new("/nowhere/asn.mmdb")).err();
        let text = missing.unwrap().under("asn-database").to_string();
        assert!(text.contains("the path under `asn-database`"), "{text}");
    }

    #[test]
    fn damaged_as_database_is_an_error_or_another_database() {
        let whole = written(Schema::Asn).finish();
        for length in 0..whole.len() {
            assert!(AsDatabase::from_bytes("test.mmdb", whole[..length].to_vec()).is_err());
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x55;
            // An error or another database; never a panic.
            _ = AsDatabase::from_bytes("test.mmdb", damaged);
        }
    }
}
