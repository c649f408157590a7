//! Countries as people write them: names, the groups that stand for several, and what a wrong spelling meant.
//!
//! The codes themselves are `geofence_common::country`; names are those of the `celes` crate, shortened where the
//! official form hides the usual one. A code is accepted in upper case only, so that a file has one spelling.

mod guess;

use std::collections::BTreeSet;
use std::fmt;

use geofence_common::country::Country;

/// A word that stands for several countries.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// The canonical spelling.
    pub name: &'static str,
    pub meaning: &'static str,
    members: &'static str,
}

/// The European Union, and the continents as GeoNames divides the world (so do the databases made from it).
///
/// Continents are spelled out because their two-letter codes are countries: AF, AS, NA and SA.
pub static GROUPS: [Group; 8] = [
    Group {
        name: "EU",
        meaning: "the 27 members of the European Union, without their overseas territories",
        members: "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK",
    },
    Group {
        name: "africa",
        meaning: "Africa",
        members: "AO BF BI BJ BW CD CF CG CI CM CV DJ DZ EG EH ER ET GA GH GM GN GQ GW KE KM LR LS LY MA MG ML MR MU \
                  MW MZ NA NE NG RE RW SC SD SH SL SN SO SS ST SZ TD TG TN TZ UG YT ZA ZM ZW",
    },
    Group {
        name: "antarctica",
        meaning: "Antarctica and the islands around it",
        members: "AQ BV GS HM TF",
    },
    Group {
        name: "asia",
        meaning: "Asia, with Turkey and the Caucasus, without Russia and Cyprus",
        members: "AE AF AM AZ BD BH BN BT CC CN CX GE HK ID IL IN IO IQ IR JO JP KG KH KP KR KW KZ LA LB LK MM MN MO \
                  MV MY NP OM PH PK PS QA SA SG SY TH TJ TM TR TW UZ VN YE",
    },
    Group {
        name: "europe",
        meaning: "Europe, with Russia and Cyprus",
        members: "AD AL AT AX BA BE BG BY CH CY CZ DE DK EE ES FI FO FR GB GG GI GR HR HU IE IM IS IT JE LI LT LU LV \
                  MC MD ME MK MT NL NO PL PT RO RS RU SE SI SJ SK SM UA VA XK",
    },
    Group {
        name: "north-america",
        meaning: "North and Central America and the Caribbean, with Greenland",
        members: "AG AI AW BB BL BM BQ BS BZ CA CR CU CW DM DO GD GL GP GT HN HT JM KN KY LC MF MQ MS MX NI PA PM PR \
                  SV SX TC TT US VC VG VI",
    },
    Group {
        name: "oceania",
        meaning: "Australia, New Zealand and the Pacific islands",
        members: "AS AU CK FJ FM GU KI MH MP NC NF NR NU NZ PF PG PN PW SB TK TL TO TV UM VU WF WS",
    },
    Group {
        name: "south-america",
        meaning: "South America",
        members: "AR BO BR CL CO EC FK GF GY PE PY SR UY VE",
    },
];

impl Group {
    /// The countries the group stands for.
    pub fn members(&self) -> impl Iterator<Item = Country> {
        self.members.split_ascii_whitespace().filter_map(country)
    }

    /// Continents may be written in any case and with a space; `EU` looks like a code and is held to a code's rule.
    fn is_spelled(&self, text: &str) -> bool {
        text == self.name
            || (self.name.len() > 2 && text.to_ascii_lowercase().replace(' ', "-") == self.name)
    }
}

/// One entry of a country list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entry {
    Country(Country),
    Group(&'static Group),
}

impl Entry {
    /// Reads a code or the name of a group.
    ///
    /// # Errors
    /// Says what was probably meant when the text is neither.
    pub fn parse(text: &str) -> Result<Self, Guess> {
        if let Some(country) = country(text) {
            return Ok(Self::Country(country));
        }
        match GROUPS.iter().find(|group| group.is_spelled(text)) {
            Some(group) => Ok(Self::Group(group)),
            None => Err(guess::guess(text)),
        }
    }

    /// The countries of all these entries together.
    pub fn expand(entries: &[Self]) -> BTreeSet<Country> {
        let mut all = BTreeSet::new();
        for entry in entries {
            match entry {
                Self::Country(country) => _ = all.insert(*country),
                Self::Group(group) => all.extend(group.members()),
            }
        }
        all
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Country(country) => country.name(),
            Self::Group(group) => group.name,
        })
    }
}

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

fn country(code: &str) -> Option<Country> {
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

/// A code with its name, `RU (Russia)`, or what an address without a country has instead.
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

/// The name behind a code, or behind what metrics have in its place; nothing where that says it all.
#[must_use]
pub fn name_of(code: &str) -> String {
    country(code).map_or_else(String::new, name)
}

/// A code with the name behind it: `Russia (RU)`.
#[must_use]
pub fn named(code: &str) -> String {
    match country(code) {
        Some(country) => format!("{} ({code})", name(country)),
        None => code.to_owned(),
    }
}

/// Names that differ from the ones of `celes`, which are the formal ones with the punctuation left out.
const SHORT_NAMES: [(&str, &str); 34] = [
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

#[cfg(test)]
mod tests;
