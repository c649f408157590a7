//! What `geofence check` prints, about a database small enough to count by hand.

use std::path::PathBuf;

use super::command::{Arguments, check};
use crate::cli::options::{InstanceArgs, PolicyArgs};
use crate::cli::outcome::Outcome;
use crate::mmdb_writer::{Schema, Writer};

/// A directory with a database of three countries and, if wanted, a configuration.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        let mut writer = Writer::new(Schema::Flat);
        writer.build_epoch = 1_735_689_600;
        for (network, code) in [
            ("1.0.0.0/16", "RU"),
            ("2.0.0.0/24", "RU"),
            ("3.0.0.0/31", "CN"),
            ("4.0.0.0/8", "DE"),
            ("2a00::/32", "RU"),
        ] {
            writer.add_code(network.parse().unwrap(), code);
        }
        files.write("small.mmdb", &writer.finish());
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// The arguments for a configuration of this text and the small database.
    fn args(&self, config: &str) -> Arguments {
        Arguments {
            policy: PolicyArgs {
                config: Some(self.write("geofence.toml", config.as_bytes())),
                database: vec![self.path("small.mmdb")],
                block: None,
                ..PolicyArgs::default()
            },
            file: None,
            show: false,
            instance: InstanceArgs::default(),
            json: false,
        }
    }
}

fn output(args: &Arguments) -> anyhow::Result<String> {
    let mut out = Vec::new();
    let outcome = check(args, &mut out)?;
    let said = String::from_utf8(out)?;
    // Data that `run` takes with --force only is no success.
    let is_refused = said.contains("accepts this data only with --force");
    assert_eq!(outcome == Outcome::No, is_refused, "{said}");
    Ok(said)
}

/// The rest of the line that begins with this name.
fn line<'a>(text: &'a str, name: &str) -> &'a str {
    let found = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    found
        .unwrap_or_else(|| panic!("no line `{name}` in:\n{text}"))
        .trim()
}

#[test]
fn the_default_policy_in_words() {
    let files = Files::new();
    let text = output(&files.args("")).unwrap();
    for (name, value) in [
        (
            "countries",
            "blocked: Belarus (BY), China (CN), North Korea (KP), Russia (RU), Ukraine (UA)",
        ),
        ("mode", "enforce: drop what the policy drops"),
        (
            "mail",
            "full: transfer, submission and access: 25, 465, 587, 143, 993, 110 and 995",
        ),
        ("unknown", "pass: addresses that no database knows pass"),
        (
            "icmp-echo",
            "drop: echo requests from blocked countries are dropped",
        ),
        ("management", "none"),
        ("listen", "127.0.0.1:10317"),
    ] {
        assert_eq!(line(&text, name), value);
    }
    assert!(
        line(&text, "database").contains("built 2025-01-01"),
        "{text}"
    );
    assert!(text.contains("\nwarning: the GeoIP data is "), "{text}");
}

#[test]
fn each_blocked_country_is_counted() {
    let files = Files::new();
    let text = output(&files.args("")).unwrap();
    let rows: Vec<Vec<_>> = text
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    for row in [
        ["RU", "Russia", "2", "65,792", "1", "65,536"],
        ["CN", "China", "1", "2", "0", "0"],
        ["UA", "Ukraine", "0", "0", "0", "0"],
    ] {
        assert!(
            rows.iter().any(|found| found == &row),
            "{row:?} is not in:\n{text}"
        );
    }
    assert!(
        rows.iter()
            .any(|row| row == &["together", "3", "65,794", "1", "65,536"]),
        "{text}"
    );
    assert!(!rows.iter().any(|row| row.contains(&"Germany")), "{text}");
}

#[test]
fn other_policies_in_words() {
    let files = Files::new();
    let config = "allow-only = [\"DE\"]\nservices = [\"udp/51820\"]\ndeny = [\"192.0.2.66\"]\nunknown = \"drop\"";
    let text = output(&files.args(config)).unwrap();
    assert_eq!(line(&text, "countries"), "all blocked except: Germany (DE)");
    assert_eq!(line(&text, "services"), "udp/51820");
    assert_eq!(line(&text, "deny"), "192.0.2.66/32");
    assert_eq!(
        line(&text, "unknown"),
        "drop: addresses that no database knows are dropped"
    );

    let text = output(&files.args("block = []")).unwrap();
    assert_eq!(line(&text, "countries"), "no country is blocked");
    assert!(text.contains("warning: the block list is empty"), "{text}");
}

#[test]
fn json_is_one_object_with_the_same_numbers() {
    let files = Files::new();
    let mut args = files.args("mode = \"monitor\"\nxdp-mode = \"auto\"");
    args.json = true;
    args.policy.block = Some("DE,RU".to_owned());
    let text = output(&args).unwrap();
    assert_eq!(text.lines().count(), 1);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["mode"], "monitor");
    assert_eq!(json["xdp_mode"], "auto");
    assert_eq!(json["countries"], serde_json::json!(["DE", "RU"]));
    assert_eq!(json["mail_ports"][0], 25);
    assert_eq!(json["blocked"][0]["country"], "DE");
    assert_eq!(json["blocked"][0]["addresses_v4"], 1 << 24);
    assert_eq!(json["blocked"][1]["prefixes_v4"], 2);
    assert_eq!(json["databases"][0]["built"], 1_735_689_600);
}

#[test]
fn the_embedded_database_has_prefixes_of_every_country_blocked_by_default() {
    let args = Arguments {
        policy: PolicyArgs::default(),
        instance: InstanceArgs::default(),
        file: None,
        show: false,
        json: true,
    };
    let json: serde_json::Value = serde_json::from_str(&output(&args).unwrap()).unwrap();
    let blocked = json["blocked"].as_array().unwrap();
    assert_eq!(blocked.len(), 5);
    for country in blocked {
        assert!(country["prefixes_v4"].as_u64() > Some(0), "{country}");
    }
    let attribution = json["attribution"].as_str().unwrap_or_default();
    assert!(attribution.contains("DB-IP"), "{attribution}");
}

#[test]
fn what_is_wrong_is_the_error_and_nothing_is_printed() {
    let files = Files::new();
    let refused = |args: &Arguments| {
        let mut out = Vec::new();
        let error = check(args, &mut out).unwrap_err();
        assert!(out.is_empty());
        error.to_string()
    };
    let config = refused(&files.args("block = [\"UK\"]"));
    assert!(config.contains("did you mean \"GB\""), "{config}");

    let mut args = files.args("");
    args.policy.database = vec![files.write("cut.mmdb", b"")];
    let database = refused(&args);
    assert!(
        database.contains("cut.mmdb") && database.contains("empty"),
        "{database}"
    );

    args.policy.database = vec!["absent.mmdb".into()];
    let absent = refused(&args);
    assert!(absent.contains("absent.mmdb"), "{absent}");
}

#[test]
fn an_image_larger_than_its_slot_is_refused() {
    let files = Files::new();
    let mut args = files.args("capacity-mib = 1");
    // The embedded data takes several MiB.
    args.policy.database.clear();
    let error = output(&args).unwrap_err();
    assert!(error.to_string().contains("1 MiB"), "{error}");
}

#[test]
fn data_that_lacks_a_listed_country_is_warned_about() {
    let files = Files::new();
    let text = output(&files.args("block = [\"RU\", \"KP\"]")).unwrap();
    let warning = "accepts this data only with --force: it has no prefix of North Korea (KP)";
    assert!(text.contains(warning), "{text}");
    let text = output(&files.args("block = [\"RU\"]")).unwrap();
    assert!(!text.contains("--force"), "{text}");
}
