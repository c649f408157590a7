//! What a spelling that names no country was probably meant to be: for help in errors, never for a decision.

use celes::LookupTable as _;
use geofence_common::country::Country;

use super::group::GROUPS;
use super::name::{from_code, name};

/// What a text that names no country was probably meant to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guess {
    Country(Country),
    Group(&'static str),
    /// The placeholder some databases use for "not known", which is a setting and no country.
    Unknown,
    /// Nothing in particular; these codes begin with the same letter.
    Codes(Vec<&'static str>),
    Nothing,
}

/// Abbreviations in use that are not, or no longer, codes of ISO 3166-1.
pub(super) const MISTAKES: [(&str, &str); 22] = [
    ("BU", "MM"),
    ("CS", "CZ"),
    ("DD", "DE"),
    ("DPRK", "KP"),
    ("EL", "GR"),
    ("EN", "GB"),
    ("FX", "FR"),
    ("JA", "JP"),
    ("KO", "KP"),
    ("NK", "KP"),
    ("PRC", "CN"),
    ("ROC", "TW"),
    ("ROK", "KR"),
    ("SP", "ES"),
    ("SU", "RU"),
    ("TP", "TL"),
    ("UAE", "AE"),
    ("UK", "GB"),
    ("USSR", "RU"),
    ("XI", "GB"),
    ("YU", "RS"),
    ("ZR", "CD"),
];

/// Spellings for "no country is known" in databases and logs.
const PLACEHOLDERS: [&str; 8] = ["XX", "ZZ", "A1", "A2", "O1", "T1", "UNKNOWN", "ANY"];

/// How alike two names must be before one is offered for the other.
const ALIKE: f64 = 0.88;

/// What was probably meant by a text that is neither a code nor a group.
pub(super) fn guess(text: &str) -> Guess {
    let upper = text.trim().to_uppercase();
    let mistaken = MISTAKES.iter().find(|(wrong, _)| *wrong == upper);
    if let Some(country) = from_code(mistaken.map_or(upper.as_str(), |(_, meant)| meant)) {
        return Guess::Country(country);
    }
    if upper == "EU" {
        return Guess::Group("EU");
    }
    if PLACEHOLDERS.contains(&upper.as_str()) {
        return Guess::Unknown;
    }
    let plain = squeeze(text);
    if let Ok(found) = plain.parse::<celes::Country>()
        && let Some(country) = from_code(found.alpha2)
    {
        return Guess::Country(country);
    }
    let reversed: String = upper.chars().rev().collect();
    if let Some(country) = from_code(&reversed) {
        return Guess::Country(country);
    }
    alike(&plain).unwrap_or_else(|| first_letter(&upper))
}

/// Letters and digits only, so that spaces, hyphens and apostrophes make no difference.
fn squeeze(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

/// The country or continent whose name looks most like this; two or three letters look like too many.
fn alike(plain: &str) -> Option<Guess> {
    if plain.chars().count() < 4 {
        return None;
    }
    let mut best = (ALIKE, None);
    let mut offer = |name: &str, guess: Guess| {
        let score = strsim::jaro_winkler(plain, &squeeze(name));
        if score > best.0 {
            best = (score, Some(guess));
        }
    };
    for group in GROUPS.iter().filter(|group| group.name.len() > 2) {
        offer(group.name, Guess::Group(group.name));
    }
    offer("europeanunion", Guess::Group("EU"));
    for country in Country::all() {
        offer(&name(country), Guess::Country(country));
        if let Some(found) = country
            .code()
            .and_then(|code| celes::Country::from_alpha2(code).ok())
        {
            for alias in found.aliases.iter() {
                offer(alias, Guess::Country(country));
            }
        }
    }
    best.1
}

fn first_letter(upper: &str) -> Guess {
    let mut codes: Vec<_> = Country::all().filter_map(Country::code).collect();
    codes.retain(|code| upper.len() == 2 && code.chars().next() == upper.chars().next());
    if codes.is_empty() {
        Guess::Nothing
    } else {
        Guess::Codes(codes)
    }
}
