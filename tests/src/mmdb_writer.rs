//! Writes small MMDB files for tests: any record size, either family or both, every schema in use, and wrong ones.
//!
//! Written from the format's specification. It may panic on what a test should not ask for, and it keeps the whole tree
//! in memory. The unit tests of geofence-user include this file by its path; it may name geofence_common only.

use geofence_common::country::Country;
use ipnet::IpNet;

/// How records tell the country.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    /// `country.iso_code` and `registered_country.iso_code`, names and all: MaxMind, DB-IP.
    Nested,
    /// `registered_country.iso_code` alone, which does not count.
    RegisteredOnly,
    /// `country_code`: ip-location-db.
    Flat,
    /// `country_code` beside `country`, a name: IPinfo Lite.
    FlatWithName,
    /// `country` is the code: the older IPinfo.
    Plain,
    /// An ASN database, no country at all: MaxMind, DB-IP. The code is the organisation, behind its number if that is
    /// written in front: `64500 Example`.
    Asn,
    /// `asn` is text, beside `as_name` and a country: IPinfo Lite.
    AsnText,
    /// `country` is a number.
    Number,
    /// `country` is a map that holds itself, by a pointer to its own start.
    Loop,
}

/// A file in the making.
#[derive(Clone, Debug)]
pub struct Writer {
    pub schema: Schema,
    /// 24, 28 or 32 bits.
    pub record_size: u16,
    pub ip_version: u16,
    pub database_type: String,
    pub build_epoch: u64,
    /// Whether ::ffff:0:0/96 and 2002::/16 lead to the IPv4 part, as in MaxMind's files.
    pub aliases: bool,
    /// Written in place of the true number of nodes.
    pub node_count: Option<u32>,
    networks: Vec<(IpNet, String)>,
}

/// An entry of a node.
#[derive(Clone, Copy)]
enum Entry {
    Nothing,
    Node(usize),
    Record(usize),
}

impl Writer {
    #[must_use]
    pub fn new(schema: Schema) -> Self {
        Self {
            schema,
            record_size: 24,
            ip_version: 6,
            database_type: "Test-Country".to_owned(),
            build_epoch: 1_780_000_000,
            aliases: false,
            node_count: None,
            networks: Vec::new(),
        }
    }

    /// Adds a network; a later one replaces what it covers of an earlier one.
    pub fn add(&mut self, network: IpNet, country: Country) -> &mut Self {
        self.add_code(network, country.name())
    }

    /// Adds a network with any text for its code.
    pub fn add_code(&mut self, network: IpNet, code: &str) -> &mut Self {
        self.networks.push((network, code.to_owned()));
        self
    }

    /// The file.
    #[must_use]
    pub fn finish(&self) -> Vec<u8> {
        let mut data = Vec::new();
        let mut offsets: Vec<(&str, usize)> = Vec::new();
        let mut nodes = vec![[Entry::Nothing; 2]];
        for (network, code) in &self.networks {
            let known = offsets.iter().find(|(text, _)| text == code);
            let offset = match known {
                Some((_, offset)) => *offset,
                None => {
                    let offset = data.len();
                    self.record(&mut data, code);
                    offsets.push((code, offset));
                    offset
                }
            };
            let (bits, length) = self.path(*network);
            insert(&mut nodes, bits, length, Entry::Record(offset));
        }
        if self.aliases {
            let root = find(&nodes, 0, 96);
            insert(&mut nodes, 0xffff << 32, 96, root);
            insert(&mut nodes, 0x2002 << 112, 16, root);
        }
        let count = nodes.len();
        let mut file = Vec::new();
        for node in &nodes {
            let [left, right] = node.map(|entry| match entry {
                Entry::Nothing => count,
                Entry::Node(at) => at,
                Entry::Record(offset) => count + 16 + offset,
            });
            self.node(&mut file, left as u32, right as u32);
        }
        file.extend([0; 16]);
        file.extend(data);
        file.extend(b"\xab\xcd\xefMaxMind.com");
        self.metadata(&mut file, self.node_count.unwrap_or(count as u32));
        file
    }

    /// The way to a network: its bits left-aligned, and how many of them count.
    fn path(&self, network: IpNet) -> (u128, u8) {
        match (network, self.ip_version) {
            (IpNet::V4(network), 4) => (
                u128::from(network.network().to_bits()) << 96,
                network.prefix_len(),
            ),
            (IpNet::V4(network), _) => (
                u128::from(network.network().to_bits()),
                96 + network.prefix_len(),
            ),
            (IpNet::V6(network), _) => (network.network().to_bits(), network.prefix_len()),
        }
    }

    fn node(&self, file: &mut Vec<u8>, left: u32, right: u32) {
        let [l, r] = [left.to_be_bytes(), right.to_be_bytes()];
        match self.record_size {
            24 => {
                file.extend(&l[1..]);
                file.extend(&r[1..]);
            }
            28 => {
                file.extend(&l[1..]);
                file.push(l[0] << 4 | r[0]);
                file.extend(&r[1..]);
            }
            _ => {
                file.extend(l);
                file.extend(r);
            }
        }
    }

    fn record(&self, out: &mut Vec<u8>, code: &str) {
        match self.schema {
            Schema::Nested => {
                map(out, 2);
                text(out, "country");
                nested_country(out, code);
                // A country that must not be taken for the answer.
                text(out, "registered_country");
                nested_country(out, "AQ");
            }
            Schema::RegisteredOnly => {
                map(out, 1);
                text(out, "registered_country");
                nested_country(out, code);
            }
            Schema::Flat => {
                map(out, 1);
                text(out, "country_code");
                text(out, code);
            }
            Schema::FlatWithName => {
                map(out, 3);
                text(out, "country");
                text(out, "Some Country");
                text(out, "country_code");
                text(out, code);
                text(out, "continent_code");
                text(out, "AN");
            }
            Schema::Plain => {
                map(out, 1);
                text(out, "country");
                text(out, code);
            }
            Schema::Asn => {
                map(out, 2);
                text(out, "autonomous_system_number");
                let (system, organization) = system(code);
                number(out, system);
                text(out, "autonomous_system_organization");
                text(out, organization);
            }
            Schema::AsnText => {
                map(out, 4);
                let (system, organization) = system(code);
                text(out, "asn");
                text(out, &format!("AS{system}"));
                text(out, "as_name");
                text(out, organization);
                text(out, "as_domain");
                text(out, "example.net");
                text(out, "country_code");
                text(out, "AQ");
            }
            Schema::Number => {
                map(out, 1);
                text(out, "country");
                number(out, 392);
            }
            Schema::Loop => {
                let start = out.len() as u16;
                map(out, 1);
                text(out, "country");
                // A pointer of eleven bits, relative to the start of the data.
                out.push(0b0010_0000 | (start >> 8) as u8 & 7);
                out.push(start as u8);
            }
        }
    }

    fn metadata(&self, out: &mut Vec<u8>, node_count: u32) {
        map(out, 9);
        for (key, value) in [
            ("binary_format_major_version", 2),
            ("binary_format_minor_version", 0),
            ("ip_version", self.ip_version),
            ("record_size", self.record_size),
        ] {
            text(out, key);
            out.push(5 << 5 | 2);
            out.extend(value.to_be_bytes());
        }
        text(out, "node_count");
        number(out, node_count);
        text(out, "build_epoch");
        // Extended type 9: an unsigned number of 64 bits.
        out.extend([8, 9 - 7]);
        out.extend(self.build_epoch.to_be_bytes());
        text(out, "database_type");
        text(out, &self.database_type);
        text(out, "description");
        map(out, 1);
        text(out, "en");
        text(out, "a test");
        text(out, "languages");
        // Extended type 11: an array, empty.
        out.extend([0, 11 - 7]);
    }
}

/// Writes the longest way to the entry, splitting what was there.
fn insert(nodes: &mut Vec<[Entry; 2]>, bits: u128, length: u8, entry: Entry) {
    assert!(length > 0, "the root is a node, not a network");
    let mut at = 0;
    for depth in 0..length {
        let side = (bits >> (127 - depth) & 1) as usize;
        if depth == length - 1 {
            nodes[at][side] = entry;
            return;
        }
        at = match nodes[at][side] {
            Entry::Node(next) => next,
            above @ (Entry::Nothing | Entry::Record(_)) => {
                nodes.push([above; 2]);
                let next = nodes.len() - 1;
                nodes[at][side] = Entry::Node(next);
                next
            }
        };
    }
}

/// What stands at the end of a way.
fn find(nodes: &[[Entry; 2]], bits: u128, length: u8) -> Entry {
    let mut entry = Entry::Node(0);
    for depth in 0..length {
        match entry {
            Entry::Node(at) => entry = nodes[at][(bits >> (127 - depth) & 1) as usize],
            Entry::Nothing | Entry::Record(_) => break,
        }
    }
    entry
}

fn nested_country(out: &mut Vec<u8>, code: &str) {
    map(out, 3);
    text(out, "geoname_id");
    number(out, 1_861_060);
    text(out, "iso_code");
    text(out, code);
    text(out, "names");
    map(out, 1);
    text(out, "en");
    text(out, "Some Country");
}

/// The number in front of an organisation, or one for documentation.
fn system(code: &str) -> (u32, &str) {
    code.split_once(' ')
        .and_then(|(number, name)| Some((number.parse().ok()?, name)))
        .unwrap_or((64_496, code))
}

fn map(out: &mut Vec<u8>, size: u8) {
    out.push(7 << 5 | size);
}

fn text(out: &mut Vec<u8>, text: &str) {
    match text.len() {
        short @ 0..29 => out.push(2 << 5 | short as u8),
        long => out.extend([2 << 5 | 29, (long - 29) as u8]),
    }
    out.extend(text.as_bytes());
}

/// An unsigned number of 32 bits.
fn number(out: &mut Vec<u8>, number: u32) {
    out.push(6 << 5 | 4);
    out.extend(number.to_be_bytes());
}
