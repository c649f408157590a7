//! Whole messages, as an operator sees them, and the errors that are about a file rather than its text.

use std::path::Path;

use crate::cli::options::PolicyArgs;
use crate::config::{Config, overrides};

/// What is shown for this file.
fn shown(text: &str) -> String {
    let errors = Config::parse(text, "/etc/geofence.toml").unwrap_err();
    errors.render(false)
}

#[test]
fn a_country_that_does_not_exist() {
    let expected = r#"error: `UK` is not a country
 --> /etc/geofence.toml:2:16
  |
2 | block = ["RU", "UK"]
  |                ^^^^ neither an ISO 3166-1 alpha-2 code in upper case nor a group
  |
  = help: did you mean "GB" (United Kingdom)?"#;
    let text = "mode = \"enforce\"\nblock = [\"RU\", \"UK\"]\n";
    assert_eq!(shown(text), expected);
    let page = include_str!("../../../../docs/configuration.md");
    let quoted = expected.replace("/etc/", "");
    assert!(
        page.contains(&quoted),
        "docs/configuration.md quotes another message"
    );
}

#[test]
fn several_errors_at_once() {
    let text = r#"
block = [
    "RU",
    "Russia",
    "RU",
]
allow_only = ["DE"]
services = ["tpc/443"]
"#;
    let expected = r#"error: `Russia` is not a country
 --> /etc/geofence.toml:4:5
  |
4 |     "Russia",
  |     ^^^^^^^^ neither an ISO 3166-1 alpha-2 code in upper case nor a group
  |
  = help: did you mean "RU" (Russia)?

error: `RU` is given twice
 --> /etc/geofence.toml:5:5
  |
3 |     "RU",
  |     ---- first given here
4 |     "Russia",
5 |     "RU",
  |     ^^^^ given again here
  |
  = help: remove one of the two

error: there is no key `allow_only`
 --> /etc/geofence.toml:7:1
  |
7 | allow_only = ["DE"]
  | ^^^^^^^^^^ unknown key
  |
  = help: did you mean `allow-only`?

error: `tpc/443` is not a service
 --> /etc/geofence.toml:8:13
  |
8 | services = ["tpc/443"]
  |             ^^^^^^^^^ `tpc` is not a protocol with exempt ports
  |
  = help: did you mean "tcp/443"?"#;
    assert_eq!(shown(text), expected);
}

#[test]
fn both_rules_at_once() {
    let expected = r#"error: `block` and `allow-only` are both set
 --> /etc/geofence.toml:6:1
  |
1 | allow-only = ["DE"]
  | ---------- one of the two
...
6 | block = ["RU"]
  | ^^^^^ the other
  |
  = help: keep `block` to block the countries listed, or `allow-only` to block all but those listed"#;
    assert_eq!(
        shown("allow-only = [\"DE\"]\n\n\n\n\nblock = [\"RU\"]\n"),
        expected
    );
}

#[test]
fn a_text_that_is_not_toml() {
    let expected = r#"error: this is not TOML: string values must be quoted, expected literal string
 --> /etc/geofence.toml:1:8
  |
1 | mode = enforce
  |        ^^^^^^^ here
  |
  = help: put the value in quotes"#;
    assert_eq!(shown("mode = enforce\n"), expected);
}

#[test]
fn a_file_and_an_option_are_reported_together() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("absent.toml");
    let args = PolicyArgs {
        config: Some(path.clone()),
        block: Some("RU,EN".to_owned()),
        ..PolicyArgs::default()
    };
    let expected = format!(
        r#"error: there is no configuration file {}
 |
 = help: check the path; without `--config` the default policy applies

error: `EN` is not a country
 --> --block:1:4
  |
1 | RU,EN
  |    ^^ neither an ISO 3166-1 alpha-2 code in upper case nor a group
  |
  = help: did you mean "GB" (United Kingdom)?"#,
        path.display()
    );
    assert_eq!(args.config().unwrap_err().render(false), expected);
}

#[test]
fn options_that_are_wrong_are_named() {
    let mut config = Config::default();
    let before = config.clone();
    let errors = [
        overrides::block(&mut config, "ru"),
        overrides::block(&mut config, ""),
        overrides::mode(&mut config, "watch"),
        overrides::listen(&mut config, "localhost"),
        overrides::interfaces(&mut config, &["eth0".to_owned(), "eth0".to_owned()]),
    ];
    let shown = errors.map(|errors| errors.unwrap_err().render(false));
    let places = [
        "--block:1:1",
        "--block:1:1",
        "--mode:1:1",
        "--listen:1:1",
        "--interface:1:6",
    ];
    for (shown, place) in shown.iter().zip(places) {
        assert!(shown.contains(&format!("--> {place}\n")), "{shown}");
    }
    assert_eq!(config, before, "a refused option changed the configuration");
}

#[test]
fn options_without_a_file_start_from_the_default() {
    let args = PolicyArgs {
        database: vec!["a.mmdb".into()],
        block: Some("SE".to_owned()),
        ..PolicyArgs::default()
    };
    let config = args.config().unwrap();
    assert_eq!(config.databases, [Path::new("a.mmdb")]);
    let mut expected = Config::default();
    overrides::block(&mut expected, "SE").unwrap();
    assert_eq!(config.policy, expected.policy);
}

#[test]
fn files_that_are_no_text() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("geofence.toml");
    let load = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        Config::load(&path).unwrap_err().render(false)
    };
    let latin1 = load(b"mode = \"enforce\"\n# caf\xe9 au lait\n");
    assert!(
        latin1.starts_with("error: the configuration is not UTF-8 text\n"),
        "{latin1}"
    );
    assert!(latin1.contains("geofence.toml:2:6\n"), "{latin1}");
    assert!(
        latin1.ends_with("= help: save the file as UTF-8"),
        "{latin1}"
    );
    let utf16 = load(b"\xff\xfem\0o\0d\0e\0");
    assert!(utf16.contains("looks like UTF-16"), "{utf16}");
}

#[test]
fn paths_that_are_no_files() {
    let directory = tempfile::tempdir().unwrap();
    let directory_shown = Config::load(directory.path()).unwrap_err().render(false);
    assert!(
        directory_shown.contains("it is a directory"),
        "{directory_shown}"
    );
    let endless = Config::load(Path::new("/dev/zero"))
        .unwrap_err()
        .render(false);
    assert!(
        endless.contains("a device, not a regular file"),
        "{endless}"
    );
}
