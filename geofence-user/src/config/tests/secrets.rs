//! A secret that stands in a configuration is in no message about it, whatever is wrong.

use proptest::prelude::*;

use crate::config::error::ConfigErrors;
use crate::config::key_doc::Kind;
use crate::config::schema::{KEYS, TABLES};
use crate::config::shown_text::{OPEN_KEYS, OPEN_TABLES, ShownText};
use crate::config::{Config, ConfigText};
use crate::model::secret::is_secret_name;

const SECRET: &str = "hunter2-hunter2";

/// All that an error says, in every form.
fn said(errors: &ConfigErrors) -> String {
    let faults = errors.faults().map(|fault| {
        let problem = fault.problem;
        format!(
            "{} {} {} {}",
            fault.text, problem.title, problem.label, problem.help
        )
    });
    let faults: Vec<_> = faults.collect();
    format!("{}\n{}\n{errors}", faults.join("\n"), errors.render(true))
}

/// Lines below a heading, each with a secret and an error. `SECRET` stands for the secret.
const LINES: &[&str] = &[
    "token = \"SECRET\"\nformat = 7",
    "license_key = \"SECRET\"",
    "licence-key = 'SECRET'",
    "apikey = \"SECRET\"",
    "X-Api-Key = \"SECRET\"",
    "Authorization = \"Bearer SECRET\"",
    "password = \"SECRET\"",
    "tokn = \"SECRET\"",
    "maxmind = \"SECRET\"",
    "credential = \"SECRET\"",
    "user = \"us:SECRET\"",
    "bearer = SECRET",
    "bearer = \"SECRET",
    "bearer \"SECRET\"",
    "bearer = \"SECRET\" SECRET",
    "bearer = \"\"\"\nSECRET\n\"\"\" x",
    "bearer = \"x\\\"SECRET\" x",
    "bearer: SECRET",
    "SECRET",
    "\"SECRET",
    "bearer = [\"SECRET\"",
    "bearer = [\n\"SECRET\",",
    "header = { X-Api-Key = \"SECRET\" } x",
    "header = { X-Api-Key = \"SECRET\"",
    "header = { X-Api-Key = \"SECRET\", X-Other = { credential = } }",
    "header = { \"X-Api-Key\" = SECRET }",
    "header = { X-Api-Key = { key = \"SECRET\" } }\nformat = 7",
    "header.X-Api-Key = \"SECRET\" x",
    "basic = { user = \"a\", password = \"SECRET\" } x",
    "basic = { user = \"a\", password = SECRET }",
    "bearer = { credential = \"the SECRET\" } x",
    "bearer = { credential = \"a\" } # SECRET\nbearer = 7",
    "format = \"plain\" # SECRET\nformat = \"auto\"",
    "name = { token = \"SECRET\" }",
    "url = \"https://us:SECRET@a.example/\" x",
    "url = \"htps://us:SECRET@a.example/\"",
    "url = \"ftp://a.example/?token=SECRET\"",
    "url = \"https://us:SECRET@a.example/\"\nurl = \"https://us:SECRET@a.example/\"",
    "file = \"https://a.example/x?api_key=SECRET\"",
];

#[test]
fn secrets_below_a_heading_are_in_no_message() {
    let mut shown = Vec::new();
    for heading in [
        "[[list]]",
        "[[geoip-source]]",
        "[[lists]]",
        "[list]",
        "[[\"list\"]]",
    ] {
        for line in LINES {
            let text = format!("{heading}\n{}\n", line.replace("SECRET", SECRET));
            let Err(errors) = Config::parse(&text, "broken.toml") else {
                panic!("{text}\nwas accepted");
            };
            let said = said(&errors);
            if said.contains(SECRET) {
                shown.push(format!("{text}\n{said}"));
            }
        }
    }
    assert!(shown.is_empty(), "{}", shown.join("\n\n"));
}

#[test]
fn secrets_without_a_heading_or_below_another_one_are_in_no_message() {
    for text in [
        "token = \"SECRET\"",
        "license-key = \"SECRET\"",
        "x-api-key = SECRET",
        "geoip = { token = \"SECRET\" }",
        "list = [{ name = \"a\", bearer = \"SECRET\" }]",
        "block = [\"RU\"\n[[list]]\nbearer = \"SECRET\"\n",
        "block = [\"RU\"\ntoken = \"SECRET\"\n",
        "block = {\n[[list]]\nbearer = \"SECRET\"\n",
        "[[tenant]]\nname = \"a\"\npassword = \"SECRET\"",
        "[[tenant]]\nname = \"a\"\nheader = { X-Token = \"SECRET\" }",
        "mode = \"enforce\" # token = SECRET\nmode = \"monitor\"",
    ] {
        let errors = Config::parse(&text.replace("SECRET", SECRET), "broken.toml").unwrap_err();
        assert!(!said(&errors).contains(SECRET), "{text}\n{}", said(&errors));
    }
}

#[test]
fn message_about_a_line_with_a_secret_shows_the_rest_of_it() {
    let shown = |text: &str| Config::parse(text, "a.toml").unwrap_err().render(false);
    let text = format!("[[list]]\nname = \"a\"\nx-api-key = \"{SECRET}\"\n");
    let expected = r#"
 --> a.toml:3:1
  |
3 | x-api-key = "***"
  | ^^^^^^^^^"#;
    assert!(shown(&text).contains(expected), "{}", shown(&text));
    let text = format!(
        "[[list]]\nname = \"a\"\nurl = \"ftp://us:{SECRET}@a.example/\"\nformat = \"plain\"\n"
    );
    let expected = r#"error: `ftp://***@a.example/` is not a URL to fetch from
 --> a.toml:3:7
  |
3 | url = "ftp://***@a.example/"
  |       ^^^^^^^^^^^^^^^^^^^^^^ only"#;
    assert!(shown(&text).contains(expected), "{}", shown(&text));
}

#[test]
fn keys_whose_values_are_shown_take_no_secret() {
    let mut open = Vec::new();
    for table in TABLES.iter() {
        if OPEN_TABLES.contains(&table.name()) {
            for key in table.keys() {
                assert!(
                    !is_secret_name(key.name),
                    "the value of {} is hidden",
                    key.name
                );
            }
            continue;
        }
        for key in table.keys() {
            let takes_a_secret = matches!(key.kind, Kind::Inline(..));
            assert_ne!(
                OPEN_KEYS.contains(&key.name),
                takes_a_secret,
                "{}",
                key.name
            );
            open.extend((!takes_a_secret).then_some(key.name));
        }
    }
    assert!(
        OPEN_KEYS.iter().all(|key| open.contains(key)),
        "a key is gone"
    );
    assert!(KEYS.iter().all(|key| !is_secret_name(key.doc.name)));
}

#[test]
fn merged_text_has_the_places_of_secrets() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("geofence.toml");
    let text = "[[list]]\nname = \"a\"\nurl = \"https://a.example\"\nformat = \"plain\"\n\
                bearer = { credential = \"feed\" }\n";
    std::fs::write(&file, text).unwrap();
    let text = ConfigText::read(&file).unwrap();
    assert!(text.config().is_ok());
    assert!(
        text.merged()
            .unwrap()
            .contains("bearer = { credential = \"feed\" }")
    );
}

#[test]
fn brackets_in_brackets_are_looked_into_up_to_a_depth() {
    for open in ["[", "{a=", "[{a="] {
        let text = format!("x = {}{SECRET}", open.repeat(100_000));
        let errors = Config::parse(&text, "broken.toml").unwrap_err();
        assert!(errors.count() > 0);
    }
}

proptest! {
    #[test]
    fn every_place_of_a_text_is_a_place_of_what_is_shown(
        parts in prop::collection::vec(prop::sample::select(vec![
            "[[list]]", "[", "]", "{", "}", "=", ",", "\"", "'", "\"\"\"", "'''", "\\", "#", "\n", "\r\n", " ", ".",
            "token", "url", "credential", "https://u:p@a/?key=b", "é", "🦀", "x",
        ]), 0..40),
        start in 0_usize..120,
        length in 0_usize..40,
    ) {
        let text = parts.concat();
        let shown = ShownText::of(&text);
        let start = text.floor_char_boundary(start.min(text.len()));
        let end = text.ceil_char_boundary((start + length).min(text.len()));
        let place = shown.place(&(start..end));
        prop_assert!(shown.text.get(place.clone()).is_some(), "{text:?} {place:?} {shown:?}");
        prop_assert_eq!(text.matches('\n').count(), shown.text.matches('\n').count());
    }
}
