//! A configuration file and the files of `conf.d` beside it.

use std::path::{Path, PathBuf};

use crate::config::{Config, ConfigText, drop_ins};
use crate::model::policy::Mail;

/// A configuration file with these files of `conf.d`.
fn files(main: &str, others: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("geofence.toml");
    std::fs::write(&file, main).unwrap();
    std::fs::create_dir(place.path().join("conf.d")).unwrap();
    for (name, text) in others {
        std::fs::write(place.path().join("conf.d").join(name), text).unwrap();
    }
    (place, file)
}

fn tenant(name: &str, prefix: &str) -> String {
    format!("[[tenant]]\nname = \"{name}\"\nprefixes = [\"{prefix}\"]\n")
}

#[test]
fn files_of_conf_d_are_merged_in_the_order_of_their_names() {
    let (_place, file) = files(
        &format!(
            "block = [\"RU\"]\nmail = \"off\"\n{}",
            tenant("one", "192.0.2.0/25")
        ),
        &[
            ("20-late.toml", &tenant("three", "203.0.113.0/24")),
            (
                "10-early.toml",
                &format!(
                    "mail = \"mta\"\nallow-only = [\"DE\"]\n{}",
                    tenant("two", "198.51.100.0/24")
                ),
            ),
            ("30-mail.toml", "mail = \"full\"\n"),
            ("40-not-merged.toml.bak", "mail = \"off\"\n"),
        ],
    );
    assert_eq!(drop_ins(&file).len(), 3);
    let config = Config::load(&file).unwrap();
    let names: Vec<_> = config
        .policy
        .tenants
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    assert_eq!(names, ["one", "two", "three"], "tables append");
    assert_eq!(
        config.policy.settings.mail,
        Mail::Full,
        "the last file decides"
    );
    let rule = format!("{:?}", config.policy.settings.rule);
    assert!(
        rule.starts_with("AllowOnly"),
        "the rule of a later file replaces the earlier one: {rule}"
    );
}

#[test]
fn relative_paths_of_merged_files_start_beside_the_configuration() {
    let (place, file) = files("", &[("10.toml", "databases = [\"own.mmdb\"]\n")]);
    let config = Config::load(&file).unwrap();
    assert_eq!(config.databases, [place.path().join("own.mmdb")]);
}

#[test]
fn an_error_of_a_merged_file_names_that_file_and_its_line() {
    let (place, file) = files(
        "mail = \"full\"\n",
        &[
            ("10.toml", "\n\nmial = \"full\"\n"),
            ("20.toml", "mode = 1\n"),
        ],
    );
    let errors = Config::load(&file).unwrap_err();
    let places: Vec<_> = errors
        .faults()
        .map(|fault| {
            (
                Path::new(fault.source).to_owned(),
                fault.line,
                fault.column,
                fault.text.to_owned(),
            )
        })
        .collect();
    let conf = place.path().join("conf.d");
    assert_eq!(
        places,
        [
            (conf.join("10.toml"), 3, 1, "mial".to_owned()),
            (conf.join("20.toml"), 1, 8, "1".to_owned()),
        ]
    );
}

#[test]
fn two_entries_of_one_name_in_two_files_are_refused_with_both_places() {
    let (_place, file) = files(
        &tenant("one", "192.0.2.0/25"),
        &[("10.toml", &tenant("one", "198.51.100.0/24"))],
    );
    let errors = Config::load(&file).unwrap_err();
    let text = errors.render(false);
    assert!(text.contains("conf.d/10.toml:2:8"), "{text}");
    assert!(
        text.contains("first given here: ") && text.contains("geofence.toml:2:8"),
        "{text}"
    );
}

#[test]
fn the_merged_text_is_the_same_configuration_with_the_origin_of_each_key() {
    let (place, file) = files(
        &format!(
            "mode = \"monitor\"\nblock = [\n  \"RU\", # largest\n]\n{}",
            tenant("one", "192.0.2.0/25")
        ),
        &[(
            "10.toml",
            &format!("mode = \"enforce\"\n{}", tenant("two", "198.51.100.0/24")),
        )],
    );
    let merged = ConfigText::read(&file).unwrap().merged().unwrap();
    let own = place.path().display();
    for (place, line) in [
        (format!("# {own}/conf.d/10.toml:1:1"), "mode = \"enforce\""),
        (format!("# {own}/geofence.toml:2:1"), "block = ["),
        (format!("# {own}/conf.d/10.toml:3:1"), "[[tenant]]"),
    ] {
        assert!(
            merged.contains(&format!("{place}\n{line}")),
            "{place} {line}\n{merged}"
        );
    }
    assert!(!merged.contains("monitor"), "{merged}");
    let again = Config::parse(&merged, "merged.toml").unwrap();
    assert_eq!(again, Config::load(&file).unwrap());
}

#[test]
fn conf_d_that_cannot_be_listed_is_an_error() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("geofence.toml");
    std::fs::write(&file, "").unwrap();
    std::fs::write(place.path().join("conf.d"), "no directory").unwrap();
    let said = Config::load(&file).unwrap_err().render(false);
    assert!(said.contains("cannot list the directory"), "{said}");
}
