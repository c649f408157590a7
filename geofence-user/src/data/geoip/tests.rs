//! Small valid files of every shape, and every kind of damage.

use std::io::Write as _;
use std::time::{Duration, Instant};

use geofence_common::country::Country;
use ipnet::{IpNet, Ipv4Net};
use proptest::prelude::*;

use super::database::EMBEDDED;
use super::*;
use crate::data::mmdb::DatabaseError as Error;
use crate::mmdb_writer::{Schema, Writer};
use crate::model::units::UnixSeconds;
use crate::processor_time;

fn country(code: &str) -> Country {
    Country::from_code(code.as_bytes().try_into().unwrap()).unwrap()
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

/// A file with four networks of both families.
fn mixed(schema: Schema) -> Writer {
    let mut writer = Writer::new(schema);
    writer
        .add(net("81.2.0.0/16"), country("JP"))
        .add(net("81.2.69.142/32"), country("GB"))
        .add(net("2a02:100::/24"), country("DE"))
        .add(net("2a02:100::1/128"), country("KP"));
    writer
}

fn load(bytes: Vec<u8>) -> Result<Database, Error> {
    let (reader, prefixes) = countries::from_bytes("test.mmdb", bytes)?;
    Ok(Database::merge(vec![prefixes], vec![reader.info().clone()]))
}

/// The country of an address by the longest prefix.
fn answer(database: &Database, ip: &str) -> Option<Country> {
    let ip: std::net::IpAddr = ip.parse().unwrap();
    let v4 = database.prefixes_v4().iter();
    let v4 = v4.map(|(network, country)| (IpNet::V4(*network), *country));
    let v6 = database.prefixes_v6().iter();
    let v6 = v6.map(|(network, country)| (IpNet::V6(*network), *country));
    v4.chain(v6)
        .filter(|(network, _)| network.contains(&ip))
        .max_by_key(|(network, _)| network.prefix_len())
        .map(|(_, country)| country)
}

fn assert_mixed(database: &Database) {
    assert_eq!(answer(database, "81.2.69.141"), Some(country("JP")));
    assert_eq!(answer(database, "81.2.69.142"), Some(country("GB")));
    assert_eq!(answer(database, "81.3.0.0"), None);
    assert_eq!(answer(database, "2a02:100::1"), Some(country("KP")));
    assert_eq!(answer(database, "2a02:1ff::"), Some(country("DE")));
    assert_eq!(answer(database, "2002:5102:458e::1"), None);
}

#[test]
fn country_is_read_from_every_schema_and_record_size() {
    for schema in [
        Schema::Nested,
        Schema::Flat,
        Schema::FlatWithName,
        Schema::Plain,
    ] {
        for record_size in [24, 28, 32] {
            for aliases in [false, true] {
                let mut writer = mixed(schema);
                writer.record_size = record_size;
                writer.aliases = aliases;
                let database = load(writer.finish()).unwrap();
                assert_mixed(&database);
                assert_eq!(database.info().sources[0].without_country, 0);
            }
        }
    }
}

#[test]
fn file_with_ipv4_only_is_read() {
    let mut writer = Writer::new(Schema::Flat);
    writer.ip_version = 4;
    writer.add(net("81.2.0.0/16"), country("JP"));
    writer.add(net("203.0.112.1/32"), country("FR"));
    let database = load(writer.finish()).unwrap();
    assert_eq!(answer(&database, "81.2.255.255"), Some(country("JP")));
    assert_eq!(answer(&database, "203.0.112.1"), Some(country("FR")));
    assert_eq!(database.prefixes_v6(), []);
    let (reader, _) = countries::from_bytes("test.mmdb", writer.finish()).unwrap();
    assert_eq!(reader.record("2a02::1".parse().unwrap()).unwrap(), None);
}

#[test]
fn file_with_ipv6_only_is_read() {
    let mut writer = Writer::new(Schema::Flat);
    writer.add(net("2a02::/16"), country("JP"));
    let database = load(writer.finish()).unwrap();
    assert_eq!(answer(&database, "2a02::1"), Some(country("JP")));
    assert_eq!(database.prefixes_v4(), []);
    // An IPv6 network that covers the place of IPv4 says nothing about IPv4.
    let mut writer = Writer::new(Schema::Flat);
    writer.add(net("::/8"), country("JP"));
    let (reader, _) = countries::from_bytes("test.mmdb", writer.finish()).unwrap();
    assert_eq!(reader.record("81.2.3.4".parse().unwrap()).unwrap(), None);
    assert_eq!(reader.info().prefixes_v4, 0);
}

#[test]
fn files_of_one_family_each_are_merged() {
    let dir = tempfile::tempdir().unwrap();
    let (v4, v6) = (dir.path().join("v4.mmdb"), dir.path().join("v6.mmdb"));
    let mut writer = Writer::new(Schema::Flat);
    writer.ip_version = 4;
    writer.build_epoch = 1_000_000;
    writer.add(net("81.2.0.0/16"), country("JP"));
    std::fs::write(&v4, writer.finish()).unwrap();
    let mut writer = Writer::new(Schema::Nested);
    writer.add(net("2a02::/16"), country("DE"));
    std::fs::write(&v6, writer.finish()).unwrap();
    let (database, readers) = Database::open_with_readers(&[v4, v6]).unwrap();
    assert_eq!(answer(&database, "81.2.3.4"), Some(country("JP")));
    assert_eq!(answer(&database, "2a02::1"), Some(country("DE")));
    assert_eq!(readers.len(), 2);
    assert_eq!(database.info().built(), UnixSeconds(1_000_000));
    assert_eq!(
        database
            .info()
            .age_days(UnixSeconds(1_000_000 + 86_400 * 61 + 5)),
        61
    );
    assert_eq!(database.info().age_days(UnixSeconds(0)), 0);
}

#[test]
fn first_file_wins_where_two_files_conflict() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, networks: &[(&str, &str)]| {
        let mut writer = Writer::new(Schema::Plain);
        for (network, code) in networks {
            writer.add(net(network), country(code));
        }
        let path = dir.path().join(name);
        std::fs::write(&path, writer.finish()).unwrap();
        path
    };
    let first = write(
        "1.mmdb",
        &[
            ("81.2.0.0/16", "JP"),
            ("9.0.0.0/8", "US"),
            ("8.8.8.0/24", "US"),
        ],
    );
    let second = write(
        "2.mmdb",
        &[
            ("81.2.69.0/24", "GB"),
            ("9.0.0.0/8", "CA"),
            ("8.8.8.0/24", "US"),
        ],
    );
    let database = Database::open(&[first, second]).unwrap();
    assert_eq!(answer(&database, "81.2.3.4"), Some(country("JP")));
    assert_eq!(answer(&database, "81.2.69.4"), Some(country("GB")));
    assert_eq!(answer(&database, "9.1.1.1"), Some(country("US")));
    assert_eq!(database.info().conflicts, 1);
    assert_eq!(database.prefixes_v4().len(), 4);
    assert!(database.prefixes_v4().is_sorted_by(|a, b| a.0 < b.0));
}

#[test]
fn code_outside_iso_3166_counts_as_unknown_and_is_reported() {
    let mut writer = mixed(Schema::Flat);
    writer.add_code(net("5.0.0.0/8"), "EU");
    writer.add_code(net("6.0.0.0/8"), "EU");
    writer.add_code(net("7.0.0.0/8"), "jp");
    writer.add_code(net("11.0.0.0/8"), "");
    let database = load(writer.finish()).unwrap();
    let info = &database.info().sources[0];
    assert_eq!(answer(&database, "5.1.1.1"), None);
    let reported: Vec<_> = info
        .foreign_codes
        .iter()
        .map(|(code, count)| (code.as_str(), *count))
        .collect();
    assert_eq!(reported, [("EU", 2), ("jp", 1)]);
    assert_eq!(info.without_country, 1);
}

#[test]
fn file_without_countries_is_refused_by_name() {
    let mut asn = mixed(Schema::Asn);
    asn.database_type = "GeoLite2-ASN".to_owned();
    let error = load(asn.finish()).unwrap_err();
    assert!(matches!(error, Error::WrongType { .. }), "{error}");
    assert!(
        error.to_string().contains("GeoLite2-ASN") && error.to_string().contains("test.mmdb"),
        "{error}"
    );
    for schema in [Schema::Number, Schema::RegisteredOnly] {
        let error = load(mixed(schema).finish()).unwrap_err();
        assert!(
            matches!(error, Error::WrongType { .. }),
            "{schema:?}: {error}"
        );
    }
    let error = load(Writer::new(Schema::Flat).finish()).unwrap_err();
    assert!(matches!(error, Error::NoNetworks { .. }), "{error}");
    let mut foreign = Writer::new(Schema::Flat);
    foreign.add_code(net("5.0.0.0/8"), "Japan");
    let error = load(foreign.finish()).unwrap_err();
    assert!(matches!(error, Error::ForeignCodes { .. }), "{error}");
    assert!(error.to_string().contains("Japan"), "{error}");
}

#[test]
fn other_file_format_is_named_with_a_way_out() {
    let mut tar = vec![0; 512];
    tar[257..262].copy_from_slice(b"ustar");
    for (bytes, words) in [
        (b"\x1f\x8b\x08\x00\x00rest".to_vec(), ["gzip", "gunzip"]),
        (tar, ["tar archive", "tar -xf"]),
        (b"PK\x03\x04rest".to_vec(), ["zip archive", "unzip"]),
        (b"\xfd7zXZ\x00rest".to_vec(), ["xz file", "unpack"]),
        (b"BZh91AY".to_vec(), ["bzip2", "unpack"]),
        (
            b"\n <!DOCTYPE HTML><html>".to_vec(),
            ["web page", "licence key"],
        ),
        (
            b"network,country\n".to_vec(),
            ["no MMDB metadata", "fetch it again"],
        ),
        (
            b"\x28\xb5\x2f\xfdnot zstd".to_vec(),
            ["zstd", "fetch it again"],
        ),
        (Vec::new(), ["is empty", "fetch it again"]),
    ] {
        let error = load(bytes).unwrap_err().to_string();
        for word in words.iter().chain([&"test.mmdb"]) {
            assert!(error.contains(word), "{error:?} lacks {word:?}");
        }
    }
}

#[test]
fn missing_and_unreadable_files_are_different_errors() {
    let dir = tempfile::tempdir().unwrap();
    let missing = countries::open(&dir.path().join("none.mmdb"))
        .err()
        .unwrap();
    assert!(matches!(missing, Error::Missing { .. }), "{missing}");
    let directory = countries::open(dir.path()).err().unwrap();
    assert!(matches!(directory, Error::Unreadable { .. }), "{directory}");
    let device = countries::open(std::path::Path::new("/dev/zero"))
        .err()
        .unwrap();
    assert!(matches!(device, Error::Unreadable { .. }), "{device}");
    assert!(matches!(Database::open(&[]), Err(Error::NoFiles)));
}

#[test]
fn zstd_file_is_decompressed() {
    let mut packed = zstd::Encoder::new(Vec::new(), 1).unwrap();
    packed.write_all(&mixed(Schema::Nested).finish()).unwrap();
    assert_mixed(&load(packed.finish().unwrap()).unwrap());
}

#[test]
fn record_is_returned_whole() {
    let (reader, _) = countries::from_bytes("test.mmdb", mixed(Schema::Nested).finish()).unwrap();
    let (network, record) = reader
        .record("81.2.69.142".parse().unwrap())
        .unwrap()
        .unwrap();
    assert_eq!(network, net("81.2.69.142/32"));
    assert_eq!(record["country"]["iso_code"], "GB");
    assert_eq!(record["registered_country"]["geoname_id"], 1_861_060);
    let (network, _) = reader
        .record("2a02:1ff::".parse().unwrap())
        .unwrap()
        .unwrap();
    assert!(
        network.contains(&"2a02:1ff::".parse::<std::net::IpAddr>().unwrap()),
        "{network}"
    );
    assert_eq!(reader.record("1.1.1.1".parse().unwrap()).unwrap(), None);
}

#[test]
fn truncated_file_is_refused() {
    let small = mixed(Schema::Nested).finish();
    let embedded = zstd::decode_all(EMBEDDED).unwrap();
    for file in [&small, &embedded] {
        for percent in [0, 1, 25, 50, 75, 99] {
            let error = load(file[..file.len() * percent / 100].to_vec()).unwrap_err();
            assert!(
                matches!(
                    error,
                    Error::Empty { .. } | Error::NotMmdb { .. } | Error::Corrupt { .. }
                ),
                "{percent} %: {error}"
            );
        }
    }
}

/// A damaged file must be refused as corrupt, and soon.
fn assert_corrupt(bytes: Vec<u8>, what: &str) {
    let started = processor_time::of_thread().unwrap();
    let error = load(bytes).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{what}: {error}");
    assert_soon(started, what);
}

/// Loading, which began at this time of the thread, must not take a core for long.
fn assert_soon(started: Duration, what: &str) {
    let taken = processor_time::of_thread().unwrap() - started;
    let limit = Duration::from_secs(5);
    assert!(taken < limit, "{what}: {taken:?} of a core");
}

#[test]
fn loops_and_absurd_node_counts_are_refused_soon() {
    assert_corrupt(mixed(Schema::Loop).finish(), "a record that holds itself");
    for count in [0, 1_000_000, u32::MAX] {
        let mut writer = mixed(Schema::Flat);
        writer.node_count = Some(count);
        assert_corrupt(
            writer.finish(),
            "a node count that the file has no room for",
        );
    }
    // The root's two entries are its first six bytes; both lead back to the root.
    let mut file = mixed(Schema::Flat).finish();
    file[..6].fill(0);
    assert_corrupt(file, "a tree that is its own subtree");
    // Both entries of every node lead to the next node: more paths than can be walked, none of them too deep.
    let mut writer = Writer::new(Schema::Flat);
    writer.add(net("2a02::1/128"), country("JP"));
    let mut file = writer.finish();
    for node in 0..120_u8 {
        let next = [0, 0, node + 1];
        file[usize::from(node) * 6..][..6].copy_from_slice(&[next, next].concat());
    }
    assert_corrupt(file, "a tree whose branches all meet again");
    // A record that lies behind the end of the data.
    let mut file = mixed(Schema::Flat).finish();
    file[3..6].fill(0xff);
    assert_corrupt(file, "a pointer past the end");
}

/// Numbers that look random and are the same every time.
fn noise(seed: &mut u64) -> u64 {
    *seed = seed
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

#[test]
fn flipped_bits_end_soon_in_an_error_or_a_database() {
    let mut seed = 1;
    let mut writer = mixed(Schema::Nested);
    for _ in 0..200 {
        let network = format!(
            "{}.{}.0.0/16",
            noise(&mut seed) % 200 + 1,
            noise(&mut seed) % 256
        );
        writer.add(net(&network), country("FR"));
    }
    writer.aliases = true;
    let file = writer.finish();
    let mut refused = 0;
    for round in 0..1000 {
        let mut damaged = file.clone();
        // Half of the flips in the last bytes, where data and metadata are; the tree is most of the file.
        let span = if round % 2 == 0 { file.len() } else { 700 };
        let at = file.len() - 1 - noise(&mut seed) as usize % span;
        damaged[at] ^= 1 << (noise(&mut seed) % 8);
        let started = processor_time::of_thread().unwrap();
        refused += usize::from(load(damaged).is_err());
        assert_soon(started, &format!("byte {at}"));
    }
    println!("{refused} of 1000 flips refused");
    assert!((100..1000).contains(&refused), "{refused}");
}

proptest! {
    #[test]
    fn random_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400), marked in any::<bool>()) {
        let mut bytes = bytes;
        if marked {
            let at = bytes.len() / 2;
            bytes.splice(at..at, *b"\xab\xcd\xefMaxMind.com");
        }
        prop_assert!(load(bytes).is_err());
    }

    #[test]
    fn networks_are_read_as_written(
        networks in proptest::collection::vec((any::<u32>(), 1_u8..=32, 3_u8..250), 1..30),
        record_size in prop_oneof![Just(24_u16), Just(28), Just(32)],
        probes in proptest::collection::vec(any::<u32>(), 20),
    ) {
        let mut writer = Writer::new(Schema::Plain);
        writer.record_size = record_size;
        let networks: Vec<_> = networks
            .into_iter()
            .map(|(bits, length, number)| {
                let network = Ipv4Net::new(bits.into(), length).unwrap().trunc();
                (network, Country::from_number(number))
            })
            .collect();
        for (network, country) in &networks {
            writer.add(IpNet::V4(*network), *country);
        }
        let database = load(writer.finish()).unwrap();
        let ends = networks.iter().flat_map(|(network, _)| [network.network(), network.broadcast()]);
        for ip in ends.chain(probes.iter().map(|bits| (*bits).into())) {
            // The writer lets a later network replace what it covers.
            let expected = networks.iter().rev().find(|(network, _)| network.contains(&ip));
            prop_assert_eq!(answer(&database, &ip.to_string()), expected.map(|(_, country)| *country));
        }
    }
}

#[test]
fn embedded_database_is_whole() {
    let started = Instant::now();
    let (database, reader) = Database::embedded_with_reader().unwrap();
    println!("loaded in {:?}: {:?}", started.elapsed(), database.info());
    assert_eq!(database.info().attribution, Some(ATTRIBUTION));
    let info = reader.info();
    assert!(info.prefixes_v4 > 500_000 && info.prefixes_v6 > 500_000);
    assert_eq!(info.foreign_codes.len(), 0);
    let (_, record) = reader
        .record("77.88.8.8".parse().unwrap())
        .unwrap()
        .unwrap();
    assert_eq!(record["country_code"], "RU");
}
