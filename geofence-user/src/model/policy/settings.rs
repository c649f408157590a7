//! The settings that a tenant may override.

use std::collections::BTreeSet;

use geofence_common::action::{Action, Mode};
use geofence_common::country::Country;
use geofence_common::image::class::Class;

use super::service::{Mail, Service};

/// Defines the settings and their overrides from one list of fields.
macro_rules! settings {
    ($($(#[$doc:meta])* $field:ident: $type:ty,)+) => {
        /// The settings that hold for every destination without settings of its own.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Settings {
            $($(#[$doc])* pub $field: $type,)+
        }

        /// The settings of one tenant; what is not set is as in `Settings`.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Overrides {
            $($(#[$doc])* pub $field: Option<$type>,)+
        }

        impl Overrides {
            /// These settings, completed by those that hold elsewhere.
            #[must_use]
            pub fn over(&self, rest: &Settings) -> Settings {
                Settings {
                    $($field: self.$field.as_ref().unwrap_or(&rest.$field).clone(),)+
                }
            }
        }
    };
}

settings! {
    /// Which countries are blocked.
    rule: CountryRule,
    /// What happens to a source that no database knows.
    unknown: Action,
    /// What happens to a source in special-use space.
    special_use: Action,
    mode: Mode,
    mail: Mail,
    /// Further ports that stay open to blocked countries.
    services: Vec<Service>,
    /// What happens to echo requests from blocked countries.
    icmp_echo: Action,
}

/// Which countries are blocked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CountryRule {
    /// These are blocked.
    Block(BTreeSet<Country>),
    /// All but these are blocked.
    AllowOnly(BTreeSet<Country>),
}

impl CountryRule {
    /// Whether this country is blocked.
    #[must_use]
    pub fn blocks(&self, country: Country) -> bool {
        match self {
            Self::Block(blocked) => blocked.contains(&country),
            Self::AllowOnly(allowed) => !allowed.contains(&country),
        }
    }
}

impl Settings {
    /// Whether an address of this class in the data is blocked, without regard to lists.
    #[must_use]
    pub fn blocks(&self, class: Class) -> bool {
        match class.country() {
            Country::UNKNOWN => self.unknown == Action::Drop,
            // Special-use space has a flag of its own in the image, and no country to block.
            Country::SPECIAL | Country::NONE => false,
            country => self.rule.blocks(country),
        }
    }
}
