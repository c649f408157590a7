//! Groups of countries: the European Union, and the continents.

use geofence_common::country::Country;

use super::name::from_code;

/// A word that stands for several countries.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// The canonical spelling.
    pub name: &'static str,
    pub meaning: &'static str,
    pub(super) members: &'static str,
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
        self.members.split_ascii_whitespace().filter_map(from_code)
    }

    /// Continents may be written in any case and with a space; `EU` looks like a code and is held to a code's rule.
    pub(super) fn is_spelled(&self, text: &str) -> bool {
        text == self.name
            || (self.name.len() > 2 && text.to_ascii_lowercase().replace(' ', "-") == self.name)
    }
}
