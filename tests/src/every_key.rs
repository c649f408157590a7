//! A configuration, and one variant of it for each key that there is: the configuration with that key changed.
//!
//! The changes are the examples of the documentation, so a new key has a variant at once. The unit tests of
//! geofence-user include this file as well.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use geofence_user::config::examples;

use crate::mmdb_writer::{Schema, Writer};

/// A configuration that differs from the base in one key.
#[derive(Debug)]
pub struct Variant {
    /// The table of the key, if it is in one.
    pub table: Option<&'static str>,
    pub key: &'static str,
    pub text: String,
}

/// The lines of a configuration, by table and key.
type Lines = BTreeMap<(Option<&'static str>, &'static str), String>;

/// The lines of the base that its variants change. Every other key is left out.
const BASE: [(Option<&str>, &str, &str); 21] = [
    (None, "block", r#"block = ["RU"]"#),
    (None, "databases", r#"databases = ["base.mmdb"]"#),
    (Some("tenant"), "name", r#"name = "base-tenant""#),
    (Some("tenant"), "prefixes", r#"prefixes = ["192.0.2.0/25"]"#),
    (Some("exception"), "id", r#"id = "base-exception""#),
    (Some("exception"), "from", r#"from = ["198.51.100.7"]"#),
    (Some("exception"), "to", r#"to = ["any"]"#),
    (Some("exception"), "owner", r#"owner = "base""#),
    (Some("exception"), "reason", r#"reason = "base""#),
    (Some("protect"), "id", r#"id = "base-protect""#),
    (Some("protect"), "services", r#"services = ["tcp/3389"]"#),
    (Some("protect"), "from", r#"from = ["198.51.100.7"]"#),
    (Some("protect"), "to", r#"to = ["any"]"#),
    (Some("geo-override"), "prefix", r#"prefix = "5.0.0.0/24""#),
    (Some("geo-override"), "country", r#"country = "FR""#),
    (Some("geo-override"), "reason", r#"reason = "base""#),
    (Some("geoip-source"), "file", r#"file = "base.mmdb""#),
    (Some("geoip-source"), "vendor", r#"vendor = "db-ip""#),
    (Some("list"), "name", r#"name = "base-list""#),
    (Some("list"), "file", r#"file = "list.txt""#),
    (Some("list"), "format", r#"format = "plain""#),
];

/// Changes that the examples cannot make: they name files, or entries of which there is one of that name.
const OTHERS: [(Option<&str>, &str, &str); 9] = [
    (None, "databases", r#"databases = ["other.mmdb"]"#),
    (
        None,
        "cross-check-databases",
        r#"cross-check-databases = ["other.mmdb"]"#,
    ),
    (None, "asn-database", r#"asn-database = "asn.mmdb""#),
    (Some("tenant"), "name", r#"name = "other-tenant""#),
    (Some("exception"), "action", r#"action = "drop""#),
    (Some("list"), "file", r#"file = "other.txt""#),
    (Some("list"), "format", r#"format = "netset""#),
    (Some("list"), "action", r#"action = "alert""#),
    (Some("list"), "direction", r#"direction = "in""#),
];

/// Where a list comes from whose key needs a server.
const URL: &str = "url = \"https://lists.example/other\"";

/// The keys without which a key of a database's source is refused.
fn needed(key: &str) -> &'static [(&'static str, &'static str)] {
    match key {
        "vendor" => &[
            ("account", "account = \"1\""),
            ("license-key", "license-key = { credential = \"base\" }"),
        ],
        "account" | "license-key" => &[
            ("vendor", "vendor = \"maxmind\""),
            ("account", "account = \"1\""),
            ("license-key", "license-key = { credential = \"base\" }"),
        ],
        "token" => &[
            ("vendor", "vendor = \"ipinfo\""),
            ("token", "token = { credential = \"base\" }"),
        ],
        "url" | "header" | "basic" | "bearer" => &[
            ("vendor", "vendor = \"url\""),
            ("url", "url = \"https://data.example/base\""),
        ],
        "from" => &[("vendor", "vendor = \"copy\"")],
        _ => &[],
    }
}

/// A second tenant, which the examples of other tables name.
const NAMED: &str = "[[tenant]]\nname = \"customer-17\"\nprefixes = [\"192.0.2.128/25\"]\n";

/// Writes the files that the configurations name, and returns the base and all variants.
pub fn write(directory: &Path, global: &[(&'static str, &str)]) -> (String, Vec<Variant>) {
    let data = |schema, code: &str| {
        let mut writer = Writer::new(schema);
        writer.build_epoch = 1_735_689_600;
        for (network, code) in [
            ("5.0.0.0/16", code),
            ("4.0.0.0/8", "DE"),
            ("2a00::/32", code),
        ] {
            writer.add_code(network.parse().expect("a network"), code);
        }
        writer.finish()
    };
    for (name, bytes) in [
        ("base.mmdb", data(Schema::Flat, "RU")),
        ("other.mmdb", data(Schema::Flat, "RU")),
        ("asn.mmdb", data(Schema::Asn, "64500 Example")),
        ("list.txt", b"5.0.1.1\n".to_vec()),
        ("other.txt", b"5.0.1.1\n".to_vec()),
    ] {
        std::fs::write(directory.join(name), bytes).expect("the directory is writable");
    }
    let mut base = Lines::new();
    for (table, key, line) in BASE {
        base.insert((table, key), line.to_owned());
    }
    for (key, line) in global {
        base.insert((None, key), (*line).to_owned());
    }
    let variants = examples().into_iter().map(|example| {
        let place = (example.table, example.key);
        let other = OTHERS
            .iter()
            .find(|(table, key, _)| (*table, *key) == place);
        let line = other.map_or(example.line.trim_start_matches("# "), |(_, _, line)| line);
        let mut lines = base.clone();
        let place_of_file = (example.table, "file");
        // Of two keys that exclude each other, one goes.
        match place {
            (_, "allow-only") => _ = lines.remove(&(example.table, "block")),
            // A ban is for everything.
            (Some("exception"), "action") => {
                lines.insert((example.table, "to"), "to = [\"any\"]".to_owned());
                lines.remove(&(example.table, "services"));
            }
            (Some("list"), "url" | "header" | "basic" | "bearer" | "api") => {
                lines.remove(&place_of_file);
                lines.insert((example.table, "url"), URL.to_owned());
            }
            _ => {}
        }
        if place.1 == "api" {
            lines.insert(
                (example.table, "format"),
                "format = \"crowdsec\"".to_owned(),
            );
        }
        if place.0 == Some("geoip-source") {
            for (key, line) in needed(place.1) {
                lines.insert((place.0, key), (*line).to_owned());
            }
        }
        let before = lines.insert(place, line.to_owned());
        assert_ne!(before.as_deref(), Some(line), "{place:?} stays the same");
        Variant {
            table: example.table,
            key: example.key,
            text: text(&lines),
        }
    });
    let variants = variants.collect();
    (text(&base), variants)
}

fn text(lines: &Lines) -> String {
    let mut text = String::new();
    let mut last = None;
    for ((table, _), line) in lines {
        if *table != last
            && let Some(table) = table
        {
            _ = writeln!(text, "[[{table}]]");
        }
        last = *table;
        _ = writeln!(text, "{line}");
    }
    text + NAMED
}
