//! Corrections of the GeoIP data: prefixes whose country the operator knows better than the database.

use std::net::IpAddr;

use geofence_common::country::Country;
use ipnet::IpNet;

use crate::model::units::UnixSeconds;

/// A prefix that belongs to this country, whatever the database says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeoOverride {
    pub prefix: IpNet,
    /// `Country::UNKNOWN` for no country that is known.
    pub country: Country,
    pub reason: String,
    /// When it expires.
    pub until: Option<UnixSeconds>,
    /// The prefixes to which it gives its country, with what the database says of each; empty until the data has been
    /// read, after it has expired, and where overrides of longer prefixes leave nothing.
    pub replaced: Vec<(IpNet, Country)>,
}

impl Default for GeoOverride {
    fn default() -> Self {
        Self {
            prefix: IpNet::default(),
            country: Country::UNKNOWN,
            reason: String::new(),
            until: None,
            replaced: Vec::new(),
        }
    }
}

impl GeoOverride {
    /// Whether it applies at this time.
    #[must_use]
    pub fn is_in_force(&self, now: UnixSeconds) -> bool {
        self.until.is_none_or(|until| until > now)
    }

    /// What the database says of an address that this override gives its country.
    #[must_use]
    pub fn replaced(&self, address: IpAddr) -> Option<Country> {
        let mut replaced = self.replaced.iter();
        let found = replaced.find(|(net, _)| net.contains(&address));
        found.map(|(_, country)| *country)
    }

    /// Whether the database has the same country for everything that this override applies to.
    #[must_use]
    pub fn is_agreed(&self) -> bool {
        let mut replaced = self.replaced.iter();
        !self.replaced.is_empty() && replaced.all(|(_, country)| *country == self.country)
    }
}
