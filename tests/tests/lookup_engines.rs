//! Over the whole embedded database and ten thousand random list prefixes of every length, the image's trie, the
//! prefixes for a longest-prefix engine and the naive scan give every address the same class.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test's helpers are tests too"
)]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use geofence_common::address::Address;
use geofence_common::image::{Lookup as _, Words as _};
use geofence_tests::oracle::{
    LongestPrefix, Oracle, default_policy, edges_v4, edges_v6, overlays, random_v4, random_v6,
};
use geofence_user::compile::{Boot, Image, Target, compile};
use geofence_user::data::geoip::Database;
use geofence_user::model::policy::Policy;
use geofence_user::model::units::UnixSeconds;

const OVERLAYS: usize = 10_000;
const RANDOM_ADDRESSES: usize = 2_000_000;
const SEED: u64 = 2026;

const TARGET: Target = Target {
    generation: 1,
    slot: 0,
    compiled: UnixSeconds(0),
    boot: Boot { id: 1, now: 5 },
    lines_max: 1 << 22,
};

/// What the comparison of some addresses gave.
#[derive(Default)]
struct Comparison {
    addresses: usize,
    disagreements: Vec<String>,
    /// How many answers there were of each class, as the image stores it.
    classes: BTreeMap<u32, usize>,
}

impl Comparison {
    /// Compares the engines on these addresses.
    fn run(
        image: &Image,
        oracle: &Oracle,
        prefixes: &LongestPrefix<u32>,
        addresses: impl Iterator<Item = Address>,
    ) -> Self {
        let words = image.words();
        let mut comparison = Self::default();
        for address in addresses {
            let bits = match address.ip() {
                IpAddr::V4(ip) => ip.to_bits().into(),
                IpAddr::V6(ip) => ip.to_bits(),
            };
            let word = |position: Option<u32>| position.and_then(|at| words.word(at));
            let expected = oracle.class(&address).to_word();
            let by_trie = word(words.class_lookup(&address));
            let by_prefixes = word(prefixes.get(bits));
            if by_trie != Some(expected) || by_prefixes != Some(expected) {
                comparison.disagreements.push(format!(
                    "{address:?}: scan {expected:#x}, trie {by_trie:x?}, prefixes {by_prefixes:x?}"
                ));
            }
            comparison.addresses += 1;
            *comparison.classes.entry(expected).or_default() += 1;
        }
        comparison
    }

    fn assert_agreement(&self, what: &str) {
        println!(
            "{what}: {} addresses, {} classes, {} disagreements",
            self.addresses,
            self.classes.len(),
            self.disagreements.len()
        );
        let shown: Vec<_> = self.disagreements.iter().take(20).collect();
        assert!(shown.is_empty(), "{what}: {shown:#?}");
    }
}

fn agree(policy: &Policy, database: &Database, what: &str) {
    let started = Instant::now();
    let image = compile(policy, database, &TARGET).unwrap();
    println!(
        "{what}: compiled in {:?}, {} classes, {} nodes, {} bytes",
        started.elapsed(),
        image.classes().count(),
        image.nodes(),
        image.size()
    );
    let oracle = Oracle::new(policy, database);
    let mut prefixes_v4 = LongestPrefix::new(32);
    for (octets, length, class) in image.prefixes_v4(policy, database).unwrap() {
        *prefixes_v4.entry(u32::from_be_bytes(octets).into(), length, 0) = class;
    }
    let mut prefixes_v6 = LongestPrefix::new(128);
    for (octets, length, class) in image.prefixes_v6(policy, database).unwrap() {
        *prefixes_v6.entry(u128::from_be_bytes(octets), length, 0) = class;
    }
    let (v4, v6) = std::thread::scope(|scope| {
        let v4 = scope.spawn(|| {
            let edges = edges_v4(policy, database);
            let addresses = edges.chain(random_v4(database, SEED, RANDOM_ADDRESSES));
            Comparison::run(&image, &oracle, &prefixes_v4, addresses)
        });
        let edges = edges_v6(policy, database);
        let addresses = edges.chain(random_v6(database, SEED, RANDOM_ADDRESSES));
        let v6 = Comparison::run(&image, &oracle, &prefixes_v6, addresses);
        (v4.join().unwrap(), v6)
    });
    // Four addresses for each prefix: both ends, and one outside each.
    let prefixes = (database.prefixes_v4().len(), database.prefixes_v6().len());
    assert!(v4.addresses >= 4 * prefixes.0 + RANDOM_ADDRESSES);
    assert!(v6.addresses >= 4 * prefixes.1 + RANDOM_ADDRESSES);
    // Were nearly everything on every list, agreement would mean little.
    assert!(v4.classes.len() > 500 && v6.classes.len() > 500);
    v4.assert_agreement(&format!("{what}, IPv4"));
    v6.assert_agreement(&format!("{what}, IPv6"));
}

#[test]
fn lookup_engines_agree_over_the_embedded_database() {
    let database = Database::embedded().unwrap();
    let plain = default_policy();
    let policy = overlays(&plain, &database, SEED, OVERLAYS);
    let nets: Vec<_> = [&policy.management, &policy.allow, &policy.deny]
        .into_iter()
        .flatten()
        .collect();
    assert_eq!(nets.len(), OVERLAYS);
    for length in 0..=128 {
        let has = |v4: bool| {
            nets.iter()
                .any(|net| net.addr().is_ipv4() == v4 && net.prefix_len() == length)
        };
        assert!(
            has(false) && (length > 32 || has(true)),
            "no overlay of length {length}"
        );
    }
    agree(&policy, &database, "with 10,000 overlays");
}
