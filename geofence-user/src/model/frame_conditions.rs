//! The conditions that `geofence events` and `geofence capture` select frames by: as a person writes them, and as the
//! kernel compares them.

use geofence_common::action::{Action, Reason};
use geofence_common::country::Country;
use geofence_common::observe::{
    ANY_PORT, ANY_PROTOCOL, ANY_TENANT, FrameFilter, PrefixFilter, reasons_with,
};
use geofence_common::wire::protocol;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Conditions on a frame; an empty one takes every frame. Of several countries or reasons one has to apply.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FrameConditions {
    /// Only what is dropped, or only what passes.
    pub action: Option<String>,
    pub countries: Vec<String>,
    pub reasons: Vec<String>,
    pub source: Option<IpNet>,
    pub destination: Option<IpNet>,
    pub tenant: Option<String>,
    pub protocol: Option<String>,
    pub port: Option<u16>,
}

impl FrameConditions {
    /// The filter that compares these conditions; `tenant` gives the number of a tenant.
    ///
    /// # Errors
    /// A sentence that says which condition names what there is not.
    pub fn compile(&self, tenant: impl Fn(&str) -> Option<u32>) -> Result<FrameFilter, String> {
        let mut reasons = match self.action.as_deref() {
            None => u64::MAX,
            Some("drop") => reasons_with(Action::Drop),
            Some("pass") => reasons_with(Action::Pass),
            Some(other) => return Err(format!("{other:?} is not an action: write drop or pass")),
        };
        if !self.reasons.is_empty() {
            let mut named = 0;
            for name in &self.reasons {
                named |= 1 << parse_reason(name)? as u8;
            }
            reasons &= named;
            if reasons == 0 {
                return Err(format!(
                    "no frame has the action {} and the reason {}",
                    self.action.as_deref().unwrap_or_default(),
                    self.reasons.join(" or ")
                ));
            }
        }
        let mut countries = [if self.countries.is_empty() {
            u64::MAX
        } else {
            0
        }; 4];
        for name in &self.countries {
            let number = usize::from(parse_country(name)?.number());
            countries[number / 64] |= 1 << (number % 64);
        }
        let prefix = |prefix: Option<IpNet>| {
            prefix.map_or(PrefixFilter::default(), |net| {
                PrefixFilter::new(net.network().into(), net.prefix_len())
            })
        };
        let tenant = match &self.tenant {
            None => ANY_TENANT,
            Some(name) => tenant(name).ok_or_else(|| {
                format!("the active policy has no tenant {name:?}; `geofence check` lists those of the configuration")
            })?,
        };
        Ok(FrameFilter {
            reasons,
            countries,
            source: prefix(self.source),
            destination: prefix(self.destination),
            tenant,
            port: self.port.map_or(ANY_PORT, u32::from),
            protocol: match &self.protocol {
                None => ANY_PROTOCOL,
                Some(name) => parse_protocol(name)?.into(),
            },
            padding: [0; 3],
        })
    }
}

/// The reason of this name.
pub fn parse_reason(name: &str) -> Result<Reason, String> {
    let found = Reason::ALL.iter().find(|one| one.name() == name);
    found.copied().ok_or_else(|| {
        let names = Reason::ALL.iter().map(|one| one.name());
        let near = names.min_by_key(|one| strsim::levenshtein(one, name));
        format!(
            "{name:?} is not a reason; did you mean {}? docs/metrics.md lists them",
            near.unwrap_or_default()
        )
    })
}

/// The country of this code, or one of the groups of addresses without a country.
pub fn parse_country(name: &str) -> Result<Country, String> {
    let lower = name.to_ascii_lowercase();
    let groups = [Country::NONE, Country::UNKNOWN, Country::SPECIAL];
    if let Some(group) = groups.into_iter().find(|one| one.name() == lower) {
        return Ok(group);
    }
    let code = name.to_ascii_uppercase();
    let found = code.as_bytes().try_into().ok().and_then(Country::from_code);
    found.ok_or_else(|| {
        format!("{name:?} is not a country: give its ISO 3166-1 code, such as CN, or special, unknown or none")
    })
}

/// The number of a protocol that is given by name or number.
pub fn parse_protocol(name: &str) -> Result<u8, String> {
    Ok(match name.to_ascii_lowercase().as_str() {
        "tcp" => protocol::TCP,
        "udp" => protocol::UDP,
        "icmp" => protocol::ICMP,
        "icmpv6" => protocol::ICMPV6,
        other => other.parse().map_err(|_| {
            format!(
                "{name:?} is not a protocol: write tcp, udp, icmp, icmpv6, or a number from 0 to 255"
            )
        })?,
    })
}

#[cfg(test)]
mod tests {
    use geofence_common::observe::flag_of;

    use super::*;

    fn conditions(change: impl FnOnce(&mut FrameConditions)) -> Result<FrameFilter, String> {
        let mut conditions = FrameConditions::default();
        change(&mut conditions);
        conditions.compile(|name| (name == "customer").then_some(3))
    }

    #[test]
    fn no_condition_takes_every_frame() {
        assert_eq!(conditions(|_| {}), Ok(FrameFilter::ALL));
    }

    #[test]
    fn each_condition_is_compiled() {
        let filter = conditions(|one| {
            one.action = Some("drop".into());
            one.countries = vec!["ru".into(), "special".into()];
            one.tenant = Some("customer".into());
            one.protocol = Some("udp".into());
            one.port = Some(53);
            one.source = Some("192.0.2.99/24".parse().unwrap());
        });
        let filter = filter.unwrap();
        let ru = Country::from_code(*b"RU").unwrap().number();
        assert_eq!(filter.countries.map(u64::count_ones).iter().sum::<u32>(), 2);
        assert_eq!(filter.countries[usize::from(ru / 64)] >> (ru % 64) & 1, 1);
        assert_eq!((filter.tenant, filter.protocol, filter.port), (3, 17, 53));
        assert_eq!(filter.source.words, [0xc000_0200 << 32, 0]);
        for reason in Reason::ALL {
            let is_drop = flag_of(*reason) == flag_of(Reason::CountryBlocked);
            assert_eq!(filter.reasons >> *reason as u8 & 1 != 0, is_drop);
        }
    }

    #[test]
    fn what_there_is_not_is_named() {
        let error = |change: fn(&mut FrameConditions)| conditions(change).unwrap_err();
        assert!(
            error(|one| one.reasons = vec!["country_blockd".into()]).contains("country_blocked")
        );
        assert!(error(|one| one.countries = vec!["Russia".into()]).contains("ISO"));
        assert!(error(|one| one.tenant = Some("lost".into())).contains("lost"));
        assert!(error(|one| one.protocol = Some("300".into())).contains("255"));
        let nothing = error(|one| {
            one.action = Some("pass".into());
            one.reasons = vec!["country_blocked".into()];
        });
        assert!(nothing.contains("no frame"), "{nothing}");
    }
}
