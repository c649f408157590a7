//! Codes, names and groups agree, and a wrong spelling finds the right one.

use std::collections::BTreeSet;

use geofence_common::country::Country;

use super::guess::MISTAKES;
use super::name::{SHORT_NAMES, from_code};
use super::*;

fn of(code: &str) -> Country {
    from_code(code).unwrap()
}

#[test]
fn every_code_has_a_name_and_celes_knows_no_other() {
    let ours: BTreeSet<_> = Country::all().filter_map(Country::code).collect();
    let theirs: BTreeSet<_> = celes::Country::get_countries()
        .iter()
        .map(|c| c.alpha2)
        .collect();
    assert_eq!(ours, theirs);
    let names: BTreeSet<_> = Country::all().map(name).collect();
    assert_eq!(names.len(), ours.len(), "two countries have one name");
    assert!(
        SHORT_NAMES
            .iter()
            .all(|(code, _)| from_code(code).is_some())
    );
    assert_eq!(name(of("AG")), "Antigua and Barbuda");
    assert_eq!(name(of("KP")), "North Korea");
    assert_eq!(name(Country::SPECIAL), "special");
}

#[test]
fn every_code_is_on_exactly_one_continent_and_the_union_has_27_members() {
    for group in &GROUPS {
        let written = group.members.split_ascii_whitespace().count();
        assert_eq!(
            group.members().collect::<BTreeSet<_>>().len(),
            written,
            "{}",
            group.name
        );
    }
    assert_eq!(GROUPS[0].members().count(), 27);
    let europe: BTreeSet<_> = GROUPS[4].members().collect();
    assert!(GROUPS[0].members().all(|country| europe.contains(&country)));
    for country in Country::all() {
        let continents = GROUPS[1..]
            .iter()
            .filter(|group| group.members().any(|member| member == country));
        assert_eq!(continents.count(), 1, "{}", country.name());
    }
}

#[test]
fn mistakes_are_not_codes_and_their_corrections_are() {
    for (wrong, meant) in MISTAKES {
        assert!(
            from_code(wrong).is_none() && from_code(meant).is_some(),
            "{wrong} {meant}"
        );
    }
}

#[test]
fn continents_are_read_in_every_usual_spelling_and_codes_in_one() {
    for text in [
        "north-america",
        "North America",
        "NORTH-AMERICA",
        "north america",
    ] {
        assert_eq!(Entry::parse(text).unwrap().to_string(), "north-america");
    }
    for code in ["AF", "AS", "NA", "SA"] {
        assert!(
            matches!(Entry::parse(code), Ok(Entry::Country(_))),
            "{code} is a country"
        );
    }
    assert_eq!(Entry::parse("EU").unwrap().to_string(), "EU");
    assert_eq!(Entry::parse("eu").unwrap_err(), Guess::Group("EU"));
    assert_eq!(Entry::parse("ru").unwrap_err(), Guess::Country(of("RU")));
}

#[test]
fn a_wrong_spelling_finds_what_was_meant() {
    for (text, meant) in [
        ("UK", "GB"),
        ("EN", "GB"),
        ("KO", "KP"),
        ("NK", "KP"),
        ("DPRK", "KP"),
        ("Russia", "RU"),
        ("RUSSIA", "RU"),
        ("rusia", "RU"),
        ("Russian Federation", "RU"),
        ("RUS", "RU"),
        ("643", "RU"),
        (" RU", "RU"),
        ("UR", "RU"),
        ("China", "CN"),
        ("north korea", "KP"),
        ("North-Korea", "KP"),
        ("Belarussia", "BY"),
        ("ukraina", "UA"),
        ("USA", "US"),
        ("Ivory Coast", "CI"),
        ("türkiye", "TR"),
        ("Great Britain", "GB"),
    ] {
        assert_eq!(
            Entry::parse(text).unwrap_err(),
            Guess::Country(of(meant)),
            "{text}"
        );
    }
    assert_eq!(Entry::parse("Europa").unwrap_err(), Guess::Group("europe"));
    assert_eq!(
        Entry::parse("european union").unwrap_err(),
        Guess::Group("EU")
    );
    assert_eq!(Entry::parse("XX").unwrap_err(), Guess::Unknown);
    assert_eq!(
        Entry::parse("RX").unwrap_err(),
        Guess::Codes(vec!["RE", "RO", "RS", "RU", "RW"])
    );
    assert_eq!(Entry::parse("").unwrap_err(), Guess::Nothing);
    assert_eq!(Entry::parse("xyzzyxyzzy").unwrap_err(), Guess::Nothing);
}
