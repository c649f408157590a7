//! Names of countries: those of the `celes` crate, shortened where the official form hides the usual one.

use geofence_common::country::Country;

/// The country of an upper-case code.
pub(super) fn from_code(code: &str) -> Option<Country> {
    Country::from_code(code.as_bytes().try_into().ok()?)
}

/// The usual English name of a country.
#[must_use]
pub fn name(country: Country) -> String {
    let Some(code) = country.code() else {
        return country.name().to_owned();
    };
    if let Some((_, short)) = SHORT_NAMES.iter().find(|(listed, _)| *listed == code) {
        return (*short).to_owned();
    }
    let Ok(found) = celes::Country::from_alpha2(code) else {
        return code.to_owned();
    };
    let full = found.long_name;
    let full = full.strip_prefix("The ").unwrap_or(full);
    full.replace(" And ", " and ")
        .replace(" Of ", " of ")
        .replace(" The ", " the ")
}

/// A code with its name, `RU (Russia)`; for an address without a country, what it is instead.
#[must_use]
pub fn described(country: Country) -> String {
    match country.code() {
        Some(code) => format!("{code} ({})", name(country)),
        None => match country {
            Country::SPECIAL => "special-use space".to_owned(),
            Country::NONE => "none".to_owned(),
            _ => "unknown country".to_owned(),
        },
    }
}

/// The name of the country with this code; empty for anything else, such as `special`.
#[must_use]
pub fn name_of(code: &str) -> String {
    from_code(code).map_or_else(String::new, name)
}

/// The name with the code: `Russia (RU)`.
#[must_use]
pub fn named(code: &str) -> String {
    match from_code(code) {
        Some(country) => format!("{} ({code})", name(country)),
        None => code.to_owned(),
    }
}

/// Names that differ from the ones of `celes`, which are the formal ones with the punctuation left out.
pub(super) const SHORT_NAMES: [(&str, &str); 34] = [
    ("AX", "Åland Islands"),
    ("BL", "Saint Barthélemy"),
    ("BN", "Brunei"),
    ("BQ", "Caribbean Netherlands"),
    ("CC", "Cocos (Keeling) Islands"),
    ("CD", "DR Congo"),
    ("CG", "Congo"),
    ("CI", "Côte d'Ivoire"),
    ("CW", "Curaçao"),
    ("FK", "Falkland Islands"),
    ("FM", "Micronesia"),
    ("GB", "United Kingdom"),
    ("GW", "Guinea-Bissau"),
    ("HM", "Heard and McDonald Islands"),
    ("IR", "Iran"),
    ("KP", "North Korea"),
    ("KR", "South Korea"),
    ("LA", "Laos"),
    ("MD", "Moldova"),
    ("MF", "Saint Martin (French part)"),
    ("MK", "North Macedonia"),
    ("PS", "Palestine"),
    ("RE", "Réunion"),
    ("RU", "Russia"),
    ("SH", "Saint Helena, Ascension and Tristan da Cunha"),
    ("ST", "São Tomé and Príncipe"),
    ("SX", "Sint Maarten (Dutch part)"),
    ("SY", "Syria"),
    ("TL", "Timor-Leste"),
    ("TW", "Taiwan"),
    ("TZ", "Tanzania"),
    ("US", "United States"),
    ("VA", "Vatican City"),
    ("VE", "Venezuela"),
];
