//! The names behind the numbers in a decision, from the policy, if that is known.

use std::net::IpAddr;

use geofence_common::country::Country;
use ipnet::IpNet;
use serde_json::{Value, json};

use crate::model::listing::Listing;
use crate::model::policy::{
    AutonomousSystem, Destination, GeoOverride, Policy, Protection, Service,
};

/// The policy that gives the numbers their names.
#[derive(Clone, Copy, Debug, Default)]
pub struct Names<'a>(pub Option<&'a Policy>);

impl<'a> Names<'a> {
    /// The lists that an address may be on.
    #[must_use]
    pub fn lists(&self) -> &'a [Listing] {
        self.0.map_or(&[], |policy| &policy.lists)
    }

    /// The autonomous systems that rules name and that hold an address, each with the prefix.
    pub fn systems(&self, address: IpAddr) -> impl Iterator<Item = (&'a AutonomousSystem, IpNet)> {
        let systems = self.0.map_or(&[][..], |policy| &policy.autonomous_systems);
        systems
            .iter()
            .filter_map(move |system| Some((system, system.find(address)?)))
    }

    /// The override that gives an address its country, and what the database says instead.
    #[must_use]
    pub fn override_of(&self, address: IpAddr) -> Option<(&'a GeoOverride, Country)> {
        self.0?.override_of(address)
    }

    /// The override that gives an address its country, in words, and what the database says instead.
    #[must_use]
    pub fn geo_override(&self, address: IpAddr) -> Option<String> {
        let (one, database) = self.override_of(address)?;
        let until = one
            .until
            .map_or_else(String::new, |until| format!(", until {until}"));
        Some(format!(
            "country {} by your geo-override {} ({}{until}); the database says {}",
            one.country.name(),
            one.prefix,
            one.reason,
            database.name()
        ))
    }

    /// The name of a tenant, or its number.
    #[must_use]
    pub fn tenant(&self, number: u32) -> String {
        let tenant = self.0.and_then(|policy| policy.tenant(number));
        tenant.map_or_else(|| format!("number {number}"), |tenant| tenant.name.clone())
    }

    /// The protections of a port, as the end of a phrase.
    pub(super) fn protections(&self, tenant: u32, transport: u8, port: u16) -> String {
        let protections = self.0.map_or(&[][..], |policy| &policy.protections);
        let protects = |protection: &&Protection| {
            let is_here = |aim: &Destination| {
                matches!(aim, Destination::Anywhere) || *aim == Destination::Tenant(tenant)
            };
            let is_port = |service: &Service| {
                service.protocol.number() == transport
                    && (service.first..=service.last).contains(&port)
            };
            protection.to.iter().any(is_here) && protection.services.iter().any(is_port)
        };
        let ids: Vec<&str> = protections
            .iter()
            .filter(protects)
            .map(|protection| protection.id.as_str())
            .collect();
        if ids.is_empty() {
            String::new()
        } else {
            format!(" by {}", ids.join(" and "))
        }
    }

    /// An exception or a protection, with its reason, owner and end.
    #[must_use]
    pub fn exception(&self, slot: u32) -> String {
        let exceptions = self.0.map_or(&[][..], |policy| &policy.exceptions);
        let protections = self.0.map_or(&[][..], |policy| &policy.protections);
        if let Some(exception) = exceptions.iter().find(|one| one.slot == slot) {
            let until = exception
                .until
                .map_or_else(|| "no end".to_owned(), |until| format!("until {until}"));
            let kind = if exception.is_ban {
                "the ban"
            } else {
                "exception"
            };
            format!(
                "{kind} {} ({}, owner {}, {until})",
                exception.id, exception.reason, exception.owner
            )
        } else if let Some(protection) = protections.iter().find(|one| one.slot == slot) {
            format!("access by protection {}", protection.id)
        } else {
            format!("exception number {slot}")
        }
    }
}

/// An autonomous system that a rule names, as JSON, with the prefix that holds the address.
#[must_use]
pub fn system_to_json((system, prefix): (&AutonomousSystem, IpNet)) -> Value {
    json!({
        "rule": system.rule.to_string(),
        "number": system.number,
        "name": system.name,
        "prefix": prefix,
    })
}

/// An override of the country data, as JSON, with what the database says of the address.
#[must_use]
pub fn override_to_json((one, database): (&GeoOverride, Country)) -> Value {
    json!({
        "prefix": one.prefix,
        "country": one.country.name(),
        "reason": one.reason,
        "until": one.until,
        "database": database.name(),
    })
}
