//! What `geofence diff` prints, about configurations and a database small enough to count by hand.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use super::command::{Arguments, diff};
use crate::cli::outcome::Outcome;
use crate::mmdb_writer::{Schema, Writer};

/// A directory with an old configuration and a new one, and a database for either.
struct Files(tempfile::TempDir);

impl Files {
    fn new(old: &str, new: &str) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        let data = [
            ("5.0.0.0/16", "RU"),
            ("4.0.0.0/8", "DE"),
            ("2a00::/32", "RU"),
        ];
        for name in ["old", "new"] {
            files.database(name, 1_735_689_600, &data);
        }
        for (name, text) in [("old", old), ("new", new)] {
            let text = format!("databases = [\"{name}.mmdb\"]\n{text}");
            std::fs::write(files.path(&format!("{name}.toml")), text).unwrap();
        }
        files
    }

    fn database(&self, name: &str, built: u64, data: &[(&str, &str)]) {
        let mut writer = Writer::new(Schema::Flat);
        writer.build_epoch = built;
        for (network, code) in data {
            writer.add_code(network.parse().unwrap(), code);
        }
        std::fs::write(self.path(&format!("{name}.mmdb")), writer.finish()).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn arguments(&self) -> Arguments {
        Arguments {
            instance: Default::default(),
            file: Some(self.path("new.toml")),
            config: Some(self.path("old.toml")),
            database: Vec::new(),
            block: None,
            default: Default::default(),
            counters: None,
            over: 0,
            all: false,
            json: false,
        }
    }
}

fn output(arguments: &Arguments) -> (Outcome, String) {
    let mut out = Vec::new();
    let outcome = diff(arguments, &mut out).unwrap();
    (outcome, String::from_utf8(out).unwrap())
}

/// The text with single spaces, so that tests do not depend on column widths.
fn squeezed(text: &str) -> String {
    let squeeze = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    text.lines().map(squeeze).collect::<Vec<_>>().join("\n")
}

fn json(arguments: Arguments) -> serde_json::Value {
    let (_, text) = output(&Arguments {
        json: true,
        ..arguments
    });
    serde_json::from_str(&text).unwrap()
}

#[test]
fn equal_policies_change_nothing() {
    let files = Files::new("block = [\"RU\"]", "# RU once more\nblock = [\"RU\"]");
    std::fs::copy(files.path("old.toml"), files.path("new.toml")).unwrap();
    let (outcome, text) = output(&files.arguments());
    assert_eq!(outcome, Outcome::Yes);
    let [old, new] = ["old.toml", "new.toml"].map(|name| files.path(name));
    let [old, new] = [old.display(), new.display()];
    assert_eq!(
        text,
        format!("policy: {new}, compared with {old}\nnothing changes\n")
    );
    assert_eq!(json(files.arguments())["equal"], true);
}

#[test]
fn everything_that_a_policy_changes_is_printed() {
    let files = Files::new(
        "block = [\"RU\", \"KP\"]\nmanagement = [\"5.0.1.0/24\"]\nlisten = \"127.0.0.1:1\"",
        "block = [\"DE\", \"KP\"]\nmail = \"off\"\nservices = [\"tcp/443\", \"udp/9000-9001\"]\nunknown = \"drop\"\n\
         deny = [\"5.0.2.0/24\", \"5.0.3.0/24\"]\nlisten = \"127.0.0.1:2\"",
    );
    let (outcome, text) = output(&files.arguments());
    assert_eq!(outcome, Outcome::No);
    let text = squeezed(&text);
    for expected in [
        "countries now blocked: Germany (DE)",
        "countries no longer blocked: Russia (RU)",
        "services opened: tcp/443, udp/9000-9001",
        "services closed: tcp/25, tcp/110, tcp/143, tcp/465, tcp/587, tcp/993, tcp/995",
        "unknown pass -> drop",
        "listen 127.0.0.1:1 -> 127.0.0.1:2",
        "management -5.0.1.0/24",
        "deny +5.0.2.0/23",
        "DE Germany passes -> blocked 1 16,777,216 0 0",
        // 65,536 less the management prefix, which passed already, less what is denied now.
        "RU Russia blocked -> dropped, in part 1 512 0 0",
        "RU Russia blocked -> passes, in part 7 64,768 1 65,536",
        "Traffic: not known. cannot read counters from http://127.0.0.1:1/metrics:",
    ] {
        assert!(text.contains(expected), "no {expected:?} in\n{text}");
    }
    let object = json(files.arguments());
    assert_eq!(object["blocked"], serde_json::json!(["DE"]));
    assert_eq!(
        object["lists"][1]["added"],
        serde_json::json!(["5.0.2.0/23"])
    );
    assert_eq!(object["services"]["opened"][1], "udp/9000-9001");
    assert_eq!(object["traffic"], serde_json::Value::Null);
}

#[test]
fn another_database_is_compared_by_country_and_checked() {
    let files = Files::new("block = [\"RU\"]", "block = [\"RU\"]");
    files.database(
        "new",
        1_735_603_200,
        &[
            ("5.0.0.0/17", "RU"),
            ("4.0.0.0/8", "DE"),
            ("3.0.0.0/8", "US"),
        ],
    );
    let (outcome, text) = output(&files.arguments());
    assert_eq!(outcome, Outcome::No);
    let text = squeezed(&text);
    for expected in [
        "data built 2025-01-01 -> 2024-12-31",
        "RU Russia -1 -32,768 -1 -65,536",
        "and 1 more",
        "RU Russia blocked -> passes, in part 1 32,768 1 65,536",
        "reject this data without --force: it was built on 2024-12-31, before the data in use",
        "reject this data without --force: Russia (RU) has lost 50 % of its IPv4 addresses",
        "reject this data without --force: Russia (RU) has lost 100 % of its IPv6 /48 sites",
    ] {
        assert!(text.contains(expected), "no {expected:?} in\n{text}");
    }
    let all = Arguments {
        all: true,
        ..files.arguments()
    };
    assert!(squeezed(&output(&all).1).contains("US United States +1 +16,777,216 0 0"));
}

#[test]
fn a_change_from_monitor_to_enforce_affects_blocked_countries() {
    let files = Files::new("block = [\"RU\"]\nmode = \"monitor\"", "block = [\"RU\"]");
    let text = squeezed(&output(&files.arguments()).1);
    assert!(text.contains("mode monitor -> enforce"), "{text}");
    assert!(
        text.contains("RU Russia passes -> blocked 1 65,536 1 65,536"),
        "{text}"
    );
    assert!(!text.contains("DE Germany"), "{text}");
}

/// Answers every request with these metrics until the test ends.
fn metrics(body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while lines
                .next()
                .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
            {}
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\
                 connection: close\r\n\r\n{body}"
            )
            .unwrap();
        }
    });
    format!("http://{address}/metrics")
}

const COUNTED: &str = "\
geofence_packets_total{interface=\"eth0\",country=\"RU\",action=\"drop\",reason=\"country_blocked\"} 7000
geofence_packets_total{interface=\"eth0\",country=\"RU\",action=\"drop\",reason=\"malformed_ipv4\"} 100
geofence_packets_total{interface=\"eth0\",country=\"RU\",action=\"pass\",reason=\"mail\"} 20
geofence_packets_total{interface=\"eth0\",country=\"DE\",action=\"pass\",reason=\"country_allowed\"} 50
geofence_packets_total{interface=\"eth0\",country=\"US\",action=\"pass\",reason=\"country_allowed\"} 9
geofence_build_info{version=\"0.1.0\"} 1
";

#[test]
fn traffic_that_would_be_treated_differently_is_counted_by_country() {
    let files = Files::new(
        "block = [\"RU\"]",
        "block = [\"DE\"]\ndeny = [\"5.0.0.0/24\"]",
    );
    let arguments = Arguments {
        counters: Some(metrics(COUNTED)),
        ..files.arguments()
    };
    let text = squeezed(&output(&arguments).1);
    assert!(
        text.contains("RU Russia blocked -> passes, in part - 7,000"),
        "{text}"
    );
    assert!(
        text.contains("RU Russia blocked -> dropped, in part - 20"),
        "{text}"
    );
    assert!(text.contains("DE Germany passes -> blocked - 50"), "{text}");
    let traffic = &json(arguments)["traffic"];
    assert_eq!(traffic.as_array().map(Vec::len), Some(3), "{traffic}");
    assert_eq!(
        (&traffic[0]["country"], &traffic[0]["packets"]),
        (&"RU".into(), &7000.into())
    );
}

#[test]
fn closed_mail_affects_the_mail_of_every_country_that_stays_blocked() {
    let files = Files::new("block = [\"RU\"]", "block = [\"RU\"]\nmail = \"mta\"");
    let arguments = Arguments {
        counters: Some(metrics(COUNTED)),
        ..files.arguments()
    };
    let traffic = &json(arguments)["traffic"];
    assert_eq!(traffic.as_array().map(Vec::len), Some(1), "{traffic}");
    assert_eq!(
        (&traffic[0]["packets"], &traffic[0]["whole"]),
        (&20.into(), &false.into())
    );
}

#[test]
fn two_readings_give_a_rate() {
    let files = Files::new("block = [\"RU\"]", "block = [\"DE\"]");
    let arguments = Arguments {
        counters: Some(metrics(COUNTED)),
        over: 1,
        ..files.arguments()
    };
    assert_eq!(json(arguments)["traffic"][0]["per_second"], 0.0);
}

#[test]
fn a_listener_without_geofence_metrics_is_an_error_if_it_was_named() {
    let files = Files::new("block = [\"RU\"]", "block = [\"DE\"]");
    let arguments = Arguments {
        counters: Some(metrics("up 1\n")),
        ..files.arguments()
    };
    let error = diff(&arguments, &mut Vec::new()).unwrap_err().to_string();
    assert!(error.contains("has no metrics of geofence"), "{error}");
    assert!(Path::new(&files.path("old.toml")).exists());
}

#[test]
fn change_of_every_key_is_named() {
    let place = tempfile::tempdir().unwrap();
    let (base, variants) = crate::every_key::write(place.path(), &[]);
    std::fs::write(place.path().join("old.toml"), base).unwrap();
    assert!(variants.len() > 50, "{} keys", variants.len());
    let same = Arguments {
        file: Some(place.path().join("old.toml")),
        ..Files::new("", "").arguments()
    };
    let same = Arguments {
        config: same.file.clone(),
        ..same
    };
    assert_eq!(output(&same).0, Outcome::Yes);
    let mut silent = Vec::new();
    for variant in variants {
        std::fs::write(place.path().join("new.toml"), &variant.text).unwrap();
        let compared = |[old, new]: [&str; 2], json| Arguments {
            instance: Default::default(),
            file: Some(place.path().join(new)),
            config: Some(place.path().join(old)),
            database: Vec::new(),
            block: None,
            counters: None,
            over: 0,
            all: false,
            default: Default::default(),
            json,
        };
        let files = ["old.toml", "new.toml"];
        let object = json(compared(files, true));
        // A change of countries is shown as countries, and an entry of another name as another entry.
        let (table, named) = match (variant.table, variant.key) {
            (table, "block" | "allow-only") if table.is_none() => ("countries", ""),
            (None, key) => (key, ""),
            (Some(table), "name" | "id")
            | (Some(table @ "geo-override"), "prefix")
            | (Some(table @ "geoip-source"), "file") => (table, "added: "),
            (Some(table), key) => (table, key),
        };
        // A key that goes is named like one that comes.
        let removed = if named == "added: " {
            "removed: "
        } else {
            named
        };
        for (files, named) in [(files, named), (["new.toml", "old.toml"], removed)] {
            let (outcome, text) = output(&compared(files, false));
            let is_named = text
                .lines()
                .any(|line| line.starts_with(table) && line.contains(named));
            if outcome != Outcome::No || object["equal"] != false || !is_named {
                silent.push(format!(
                    "{:?} {} {files:?}:\n{text}",
                    variant.table, variant.key
                ));
            }
        }
    }
    assert!(silent.is_empty(), "{}", silent.join("\n"));
}

#[test]
fn tenants_rules_decide_for_tenants() {
    let tenant = "[[tenant]]\nname = \"shop\"\nprefixes = [\"192.0.2.0/24\"]\n";
    let files = Files::new(
        &format!("block = [\"RU\"]\n{tenant}block = [\"RU\"]\n"),
        &format!("block = []\n{tenant}block = [\"RU\"]\nservices = [\"tcp/443\"]\n"),
    );
    let counted = concat!(
        "geofence_packets_total{interface=\"eth0\",country=\"RU\",action=\"drop\",reason=\"country_blocked\"} 70\n",
        "geofence_tenant_packets_total{tenant=\"shop\",action=\"drop\",reason=\"country_blocked\"} 50\n",
        "geofence_build_info{version=\"0.1.0\"} 1\n",
    );
    let arguments = Arguments {
        counters: Some(metrics(counted)),
        ..files.arguments()
    };
    let object = json(arguments);
    assert_eq!(object["unblocked"], serde_json::json!(["RU"]));
    let shop = &object["tenants"][0];
    assert_eq!(shop["tenants"], serde_json::json!(["shop"]));
    assert_eq!(shop["unblocked"], serde_json::json!([]), "{shop}");
    assert_eq!(shop["services"]["opened"], serde_json::json!(["tcp/443"]));
    assert_eq!(shop["verdicts"], serde_json::json!([]), "{shop}");
    // Fifty of the packets were to the tenant, which keeps the country blocked.
    let traffic = object["traffic"].as_array().unwrap();
    assert_eq!(traffic.len(), 1, "{object}");
    assert_eq!(traffic[0]["whole"], false, "{object}");
    let text = squeezed(&output(&files.arguments()).1);
    for expected in [
        "For the tenant shop:\nservices opened: tcp/443",
        "tenant changed: shop; services: as for everyone -> tcp/443",
    ] {
        assert!(text.contains(expected), "no {expected:?} in\n{text}");
    }
}

#[test]
fn protected_port_and_exception_are_named_with_the_traffic_they_cut_off() {
    let files = Files::new(
        "block = [\"RU\"]",
        "block = [\"RU\"]\n[[protect]]\nid = \"web\"\nservices = [\"tcp/443\"]\nfrom = [\"192.0.2.7\"]\n\
         to = [\"any\"]\n[[exception]]\nid = \"t-1\"\nfrom = [\"KZ\"]\nto = [\"any\"]\nowner = \"noc\"\n\
         reason = \"branch\"\n",
    );
    let arguments = Arguments {
        counters: Some(metrics(COUNTED)),
        ..files.arguments()
    };
    let text = squeezed(&output(&arguments).1);
    for expected in [
        "protected only named sources reach: tcp/443",
        "exception added: t-1; from: KZ; to: any; services: all traffic, except protected ports; action: \
         pass; owner: noc; reason: branch",
        "protect added: web; services: tcp/443; from: 192.0.2.7/32; to: any",
        "DE Germany passes -> dropped, in part - 50",
    ] {
        assert!(text.contains(expected), "no {expected:?} in\n{text}");
    }
}
