//! The countries that two databases assign to one address.

use std::fmt;
use std::net::IpAddr;

use geofence_common::country::Country;
use serde_json::{Value, json};

use super::prepared::Prepared;
use crate::data::geoip;
use crate::data::mmdb::DatabaseError;
use crate::model::countries::described;
use crate::model::policy::CrossCheckRule;
use crate::model::word::Word as _;

/// The country of one address in either database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrossCheckAnswer {
    pub rule: CrossCheckRule,
    pub first: Country,
    pub second: Country,
}

impl CrossCheckAnswer {
    /// Whether the second database has a country, and a different one.
    #[must_use]
    pub fn differ(&self) -> bool {
        self.second != Country::UNKNOWN && self.first != self.second
    }

    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "first": self.first.name(),
            "second": self.second.name(),
            "agreement": self.rule.word(),
        })
    }
}

impl fmt::Display for CrossCheckAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} by the first database, {} by the second; cross-check is {:?}",
            described(self.first),
            described(self.second),
            self.rule.word()
        )
    }
}

impl Prepared {
    /// The country of an address in both databases, if there is a second one to cross-check with.
    pub fn cross_check(&self, ip: IpAddr) -> Result<Option<CrossCheckAnswer>, DatabaseError> {
        let Some(second) = &self.others.cross_check else {
            return Ok(None);
        };
        Ok(Some(CrossCheckAnswer {
            rule: self.config.policy.cross_check,
            first: geoip::country(&self.readers, ip)?,
            second: geoip::country(&second.readers, ip)?,
        }))
    }
}
