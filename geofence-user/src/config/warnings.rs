//! Warnings about settings that are valid but probably a mistake.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::configuration::Config;
use super::list_source::is_exposed;
use crate::model::event_settings::SyslogServer;
use crate::model::list::Source;
use crate::model::policy::{CountryRule, GeoOverride, Tenant};
use crate::model::special_use::is_special_use;

impl Config {
    /// What is legal but seldom meant, one sentence each.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let policy = &self.policy;
        let mut warnings = self.former_names.clone();
        let runtime = self.runtime.list.iter();
        warnings.extend(runtime.filter_map(|one| one.warning()));
        let is_inner = |name| self.inner_interfaces.contains(name);
        if !self.interfaces.is_empty() && self.interfaces.iter().all(is_inner) {
            warnings.push(
                "every protected interface is in inner-interfaces: packets from outside that carry your addresses open \
                 flows. Leave out the outer interface, or make the network in front drop such packets"
                    .to_owned(),
            );
        }
        if policy.settings.rule == CountryRule::Block(BTreeSet::new()) {
            warnings.push("the block list is empty: no country is blocked".to_owned());
        }
        for prefix in policy.allow.iter().filter(|one| one.prefix_len() == 0) {
            warnings.push(format!(
                "allow has {prefix}: nothing of that family is filtered"
            ));
        }
        for prefix in policy.deny.iter().filter(|one| one.prefix_len() == 0) {
            warnings.push(format!(
                "deny has {prefix}: everything of that family is dropped, except what management and allow list"
            ));
        }
        for prefix in policy.deny.iter().filter(|one| policy.allow.contains(one)) {
            warnings.push(format!("{prefix} is in both allow and deny: it is allowed"));
        }
        for list in &self.lists {
            if let Source::Url(url) = &list.source
                && is_exposed(url)
            {
                warnings.push(format!(
                    "the list {} is fetched by http, so it can be changed on the way; use https",
                    list.name
                ));
            }
        }
        let has_own = |tenant: &Tenant| tenant.own.rule.is_some() || tenant.own.unknown.is_some();
        if !self.cross_check_databases.is_empty() && policy.tenants.iter().any(has_own) {
            warnings.push(
                "a tenant has country rules of its own, and they see only the country that `cross-check` chose by the \
                 rules of the whole configuration"
                    .to_owned(),
            );
        }
        for source in &self.geoip_sources {
            if !self.database_files().any(|file| *file == source.file) {
                warnings.push(format!(
                    "geoip-source {} keeps a file current that no key names; name it in `databases`, \
                     `cross-check-databases` or `asn-database`",
                    source.file.display()
                ));
            }
        }
        warnings.extend(overrides(&policy.geo_overrides));
        let is_over_tls = matches!(self.events.syslog, Some(SyslogServer::Tls { .. }));
        if self.events.syslog_ca.is_some() && !is_over_tls {
            warnings.push(
                "event-syslog-ca has no effect: `event-syslog` does not start with tls://"
                    .to_owned(),
            );
        }
        if !self.listen.ip().is_loopback() && self.web_config.is_none() {
            warnings.push(format!(
                "{} can be reached from other machines: they can read the counters. `web-config` asks for a password",
                self.listen
            ));
        }
        warnings
    }
}

/// Overrides of the country data that are too short, overlap another, or have no effect.
fn overrides(all: &[GeoOverride]) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut prefixes: Vec<IpNet> = all.iter().map(|one| one.prefix).collect();
    prefixes.sort_unstable();
    // The prefixes that contain the current one, longest last.
    let mut outer: Vec<IpNet> = Vec::new();
    for prefix in prefixes {
        let (shortest, family) = match prefix {
            IpNet::V4(_) => (8, "IPv4"),
            IpNet::V6(_) => (16, "IPv6"),
        };
        if prefix.prefix_len() < shortest {
            warnings.push(format!(
                "geo-override {prefix} is shorter than /{shortest} of {family}: it gives one country to a large part \
                 of the internet; write the prefixes that you know about"
            ));
        }
        if is_special_use(prefix) {
            warnings.push(format!(
                "geo-override {prefix} has no effect: special-use space has no country; the key `special-use` decides \
                 about it"
            ));
        }
        while outer.pop_if(|one| !one.contains(&prefix)).is_some() {}
        if let Some(outer) = outer.last() {
            warnings.push(format!(
                "geo-override {prefix} lies in geo-override {outer}: the longer prefix decides"
            ));
        }
        outer.push(prefix);
    }
    warnings
}
