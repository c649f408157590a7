//! The autonomous systems that a configuration mentions: collected while rules are read, checked when all is read.

use ipnet::IpNet;

use super::addresses;
use super::asn::{self, AsMention, AsName};
use super::configuration::Config;
use super::error::{Fault, Problem};
use super::sources::Sources;
use super::table::Places;
use super::value::Value;
use crate::model::policy::AsRule;

/// An entry of `allow` or `deny`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Member {
    Prefix(IpNet),
    System(AsName),
}

fn member(text: &str) -> Result<Member, Problem> {
    match asn::read(text) {
        Some(system) => system.map(Member::System),
        None => addresses::prefix(text).map(Member::Prefix),
    }
}

/// Reads a list of prefixes and autonomous systems: returns the prefixes, and adds the systems to the configuration.
pub(super) fn members(
    config: &mut Config,
    value: &Value<'_>,
    rule: &AsRule,
    faults: &mut Vec<Fault>,
) -> Option<Vec<IpNet>> {
    let members = value.many(faults, member)?;
    config.as_mentions.retain(|mention| mention.rule != *rule);
    let mut prefixes = Vec::new();
    for (member, spanned) in members.into_iter().zip(value.texts()) {
        match member {
            Member::Prefix(net) => prefixes.push(net),
            Member::System(name) => {
                let mention = AsMention::new(name, rule.clone(), spanned.span);
                config.as_mentions.push(mention);
            }
        }
    }
    Some(prefixes)
}

/// Sets the place of every mention that has none yet.
pub(super) fn locate(config: &mut Config, sources: &Sources) {
    let new = config.as_mentions.iter_mut();
    for mention in new.filter(|mention| mention.place.is_empty()) {
        mention.place = sources.place(mention.span.start);
    }
}

/// Sets the places of all mentions, and refuses them if no database is configured.
pub(super) fn check(
    config: &mut Config,
    sources: &Sources,
    places: &Places,
    faults: &mut Vec<Fault>,
) {
    config.as_mentions.sort_by_key(|mention| mention.span.start);
    locate(config, sources);
    // A fault of the key itself has been reported.
    let is_faulty = places.keys.contains_key(asn::DATABASE) && !faults.is_empty();
    if config.asn_database.is_none() && !is_faulty {
        let mentions = config.as_mentions.iter();
        faults.extend(mentions.map(|one| asn::no_database(&one.name).at(one.span.clone())));
    }
}
