//! Exceptions that were granted by command: in the words they were granted with, and in a configuration.
//!
//! The text that keeps them has `[[exception]]` and nothing else, and is read by the readers of the configuration. What
//! a command says is read by the same readers, with the command's options in place of a file.

mod changes;

use std::collections::HashSet;
use std::hash::BuildHasher as _;

use foldhash::quality::FixedState;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use toml::de::DeTable;

use super::Config;
use super::asn;
use super::error::{ConfigErrors, Fault, Problem, quoted};
use super::exceptions::GRANTED;
use super::tables::AnyTable as _;
use super::targets::{self, Placed};
use super::value::{Given, Spelled};
use crate::model::policy::{Destination, Exception, Origin, SystemRule, Traffic};
use crate::model::units::UnixSeconds;

/// An exception in the words it was granted with. The names of the fields are those of the keys of `[[exception]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    pub id: String,
    pub from: Vec<String>,
    pub to: Vec<String>,
    /// None for all traffic.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<String>,
    pub owner: String,
    pub reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// A grant, and what has become of it since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    pub grant: Grant,
    /// Destinations that were tenants and are no more.
    pub missing: Vec<String>,
    /// Whether the configuration has an exception of the same name, which then holds in its place.
    pub is_shadowed: bool,
    /// Autonomous systems that cannot be told from others, because the configuration names no database of them.
    pub systems: Vec<String>,
    /// What is wrong with autonomous systems by the database; known once that is read.
    pub unknown: Vec<String>,
}

impl Granted {
    /// Whether the policy does without it.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let is_nowhere = !self.missing.is_empty() && self.missing.len() == self.grant.to.len();
        let is_nobody = !self.systems.is_empty() && self.systems.len() == self.grant.from.len();
        self.is_shadowed || is_nowhere || is_nobody
    }

    /// Why it does not hold, or not as granted; nothing where it does.
    #[must_use]
    pub fn why(&self) -> Option<String> {
        if self.is_shadowed {
            return Some(
                "the configuration has one of the same name, which holds instead".to_owned(),
            );
        }
        let mut reasons = Vec::new();
        if !self.missing.is_empty() {
            let tenants = self.missing.join(", ");
            reasons.push(format!("there is no tenant {tenants} any more"));
        }
        if !self.systems.is_empty() {
            reasons.push(format!(
                "there is no `{}` any more to say which prefixes {} has",
                asn::DATABASE,
                self.systems.join(", ")
            ));
        }
        reasons.extend(self.unknown.iter().cloned());
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }

    pub(super) fn warning(&self) -> Option<String> {
        let (id, why) = (&self.grant.id, self.why()?);
        let how = if self.is_idle() {
            "does not hold"
        } else {
            "holds only in part"
        };
        Some(format!(
            "exception {id}, granted by command, {how}: {why}; `geofence exception remove {id}` ends it"
        ))
    }
}

const HEAD: &str =
    "# Exceptions granted by `geofence exception add`, which rewrites this file.\n\n";

#[derive(Serialize)]
struct File<'a> {
    exception: &'a [Grant],
}

impl Grant {
    /// The text that keeps these.
    ///
    /// # Errors
    /// None that anybody has seen: texts and lists of texts can be written.
    pub fn to_text(grants: &[Self]) -> Result<String, toml::ser::Error> {
        if grants.is_empty() {
            return Ok(HEAD.to_owned());
        }
        let text = toml::to_string(&File { exception: grants })?;
        Ok(format!("{HEAD}{text}"))
    }

    /// An exception of a configuration in such words.
    #[must_use]
    pub fn of(exception: &Exception, config: &Config) -> Self {
        let policy = &config.policy;
        let systems = config.systems.iter().filter(
            |mention| matches!(&mention.rule, SystemRule::Exception(id) if *id == exception.id),
        );
        let from = exception.from.iter().map(|origin| match origin {
            Origin::Prefix(net) => written(net),
            Origin::Country(country) => country.name().to_owned(),
        });
        let from = from.chain(systems.map(|mention| mention.named.to_string()));
        let to = exception.to.iter().map(|aim| match aim {
            Destination::Anywhere => targets::ANY.to_owned(),
            Destination::Prefix(net) => written(net),
            Destination::Tenant(number) => policy
                .tenant(*number)
                .map_or_else(|| format!("tenant {number}"), |tenant| tenant.name.clone()),
        });
        let services = exception.traffic.iter().filter_map(|one| match one {
            Traffic::Any => None,
            Traffic::Protocol(number) => Some(targets::protocol(*number)),
            Traffic::Service(service) => {
                let protocol = targets::protocol(service.protocol.number());
                Some(if service.first == service.last {
                    format!("{protocol}/{}", service.first)
                } else {
                    format!("{protocol}/{}-{}", service.first, service.last)
                })
            }
        });
        Self {
            id: exception.id.clone(),
            from: from.collect(),
            to: to.collect(),
            services: services.collect(),
            owner: exception.owner.clone(),
            reason: exception.reason.clone(),
            until: exception.until.map(|until| until.to_string()),
        }
    }

    /// Makes sure that this may be granted beside a configuration.
    ///
    /// # Errors
    /// All that is wrong, each with the option that says it.
    pub fn check(&self, config: &Config, now: UnixSeconds) -> Result<(), ConfigErrors> {
        let (from, to) = (Listed::new(&self.from), Listed::new(&self.to));
        let services = Listed::new(&self.services);
        let mut result = Ok(());
        let mut note = |option: &str, text: &str, faults: Vec<Fault>| {
            let one = ConfigErrors::of(option, text, faults);
            let before = std::mem::replace(&mut result, Ok(()));
            result = ConfigErrors::both(before, one);
        };
        let mut faults = Vec::new();
        Given::from_option(&self.id).one(&mut faults, targets::name);
        note("ID", &self.id, std::mem::take(&mut faults));
        let (_, systems) = targets::origins(&from.placed, &mut faults);
        if config.asn_database.is_none() {
            faults.extend(
                systems
                    .iter()
                    .map(|(named, span)| asn::no_database(named).at(span.clone())),
            );
        }
        note("--from", &from.text, std::mem::take(&mut faults));
        targets::aims(config, &to.placed, true, &mut faults);
        note("--to", &to.text, std::mem::take(&mut faults));
        services.given().many(&mut faults, targets::traffic);
        note(
            "--proto and --port",
            &services.text,
            std::mem::take(&mut faults),
        );
        for (option, text) in [("--owner", &self.owner), ("--reason", &self.reason)] {
            Given::from_option(text).one(&mut faults, targets::words);
            note(option, text, std::mem::take(&mut faults));
        }
        for (option, list) in [("--from", &from), ("--to", &to)] {
            if list.placed.is_empty() {
                let problem = Problem::new(format!("{option} is missing"), "", "name at least one");
                note(option, "", vec![Fault::whole(problem)]);
            }
        }
        ConfigErrors::both(result, self.check_until(now).map(|_| ()))
    }

    /// When it expires, if it does.
    ///
    /// # Errors
    /// When the text is no time, or one that is over.
    pub fn check_until(&self, now: UnixSeconds) -> Result<Option<UnixSeconds>, ConfigErrors> {
        let Some(text) = &self.until else {
            return Ok(None);
        };
        let mut faults = Vec::new();
        let until = Given::from_option(text).one(&mut faults, targets::expiry);
        if let Some(until) = until.filter(|until| *until <= now) {
            faults.push(
                Problem::new(
                    format!("{} is over", quoted(text)),
                    format!("that was {}; it is {}", until, now),
                    "give a time to come: --until 2027-03-31, or --expires 30d",
                )
                .at(0..text.len()),
            );
        }
        ConfigErrors::of("--until", text, faults).map(|()| until)
    }
}

/// Texts of an option that was given several times, as errors show them.
struct Listed {
    text: String,
    placed: Vec<Placed>,
}

impl Listed {
    fn new(texts: &[String]) -> Self {
        let mut placed = Vec::new();
        let mut start = 0;
        for text in texts {
            placed.push((text.clone(), start..start + text.len()));
            start += text.len() + 1;
        }
        Self {
            text: texts.join(" "),
            placed,
        }
    }

    fn given(&self) -> Given<'_> {
        let spelled = self.placed.iter().map(|(text, span)| Spelled {
            text: text.as_str().into(),
            span: span.clone(),
        });
        Given::List(spelled.collect(), 0..self.text.len())
    }
}

impl Config {
    /// Adds the exceptions of a text that keeps granted ones.
    ///
    /// # Errors
    /// All that is wrong with the text, each with its place under the name of the file.
    pub fn with_granted(self, text: &str, file_name: &str) -> Result<Self, ConfigErrors> {
        let mut own = self.without_granted();
        let names = own.policy.exceptions.iter();
        own.own_names = names.map(|one| one.id.clone()).collect();
        let mut read = own.with_more(text, file_name)?;
        read.granted_print = Some(print(text));
        Ok(read)
    }

    /// Whether the granted exceptions it has are those of this text.
    #[must_use]
    pub fn has_granted(&self, text: &str) -> bool {
        self.granted_print == Some(print(text))
    }

    /// Adds the exceptions of a text to those that are there already, whose names they have not.
    ///
    /// # Errors
    /// As of `with_granted`.
    fn with_more(self, text: &str, file_name: &str) -> Result<Self, ConfigErrors> {
        let mut read = self.read_by(text, file_name, Self::set_granted)?;
        read.own_names = HashSet::new();
        Ok(read)
    }

    /// The names of the granted exceptions that the policy has.
    fn held(&self) -> impl Iterator<Item = &str> {
        let held = self.granted.iter().filter(|one| !one.is_idle());
        held.map(|one| one.grant.id.as_str())
    }

    /// The configuration alone.
    #[must_use]
    pub fn without_granted(mut self) -> Self {
        let held: HashSet<String> = self.held().map(str::to_owned).collect();
        self.granted.clear();
        self.granted_print = None;
        self.policy.exceptions.retain(|one| !held.contains(&one.id));
        self.systems.retain(
            |mention| !matches!(&mention.rule, SystemRule::Exception(id) if held.contains(id)),
        );
        self
    }

    fn set_granted(&mut self, table: &DeTable<'_>, source: (&str, &str), faults: &mut Vec<Fault>) {
        for (name, value) in table {
            if name.get_ref() == GRANTED.name() {
                GRANTED.read(self, name.span(), value, faults);
            } else {
                faults.push(
                    Problem::new(
                        format!("{} does not belong here", quoted(name.get_ref())),
                        "not [[exception]]",
                        "this file has the exceptions that were granted by command; the rest is for the configuration",
                    )
                    .at(name.span()),
                );
            }
        }
        asn::locate(self, source);
    }
}

/// Tells one text from others.
fn print(text: &str) -> u64 {
    FixedState::default().hash_one(text)
}

/// A prefix as people write it: as an address where it holds no other.
fn written(net: &IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() {
        net.addr().to_string()
    } else {
        net.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn config() -> Config {
        let text = r#"
            [[tenant]]
            name = "customer-17"
            prefixes = ["203.0.113.0/24"]

            [[exception]]
            id = "standing"
            from = ["KZ"]
            to = ["any"]
            owner = "noc"
            reason = "probes"
        "#;
        Config::parse(text, "geofence.toml").unwrap_or_else(|errors| panic!("{errors}"))
    }

    pub(super) fn grant() -> Grant {
        Grant {
            id: "x-1".into(),
            from: vec!["5.136.0.77".into(), "EU".into()],
            to: vec!["customer-17".into()],
            services: vec!["tcp/443".into(), "udp".into()],
            owner: "support, \"A. Berg\"".into(),
            reason: "back\\slash and 'quotes'".into(),
            until: Some("2099-03-31".into()),
        }
    }

    fn told(result: Result<(), ConfigErrors>) -> String {
        result.unwrap_err().render(false)
    }

    #[test]
    fn what_is_written_is_read_as_it_was() {
        let other = Grant {
            id: "x-2".into(),
            services: Vec::new(),
            until: None,
            ..grant()
        };
        for grants in [vec![], vec![grant(), other]] {
            let text = Grant::to_text(&grants).unwrap();
            let read = config().with_granted(&text, "exceptions.toml");
            let read = read.unwrap_or_else(|errors| panic!("{errors}\n{text}"));
            let words: Vec<_> = read.granted.iter().map(|one| one.grant.clone()).collect();
            assert_eq!(words, grants, "{text}");
            assert_eq!(read.policy.exceptions.len(), 1 + grants.len());
            // Granted one by one, they come to the same, in the text as well.
            let one_by_one = grants.iter().try_fold(
                (
                    config().with_granted("", "exceptions.toml").unwrap(),
                    String::new(),
                ),
                |(config, text), grant| config.grant(grant, text, "exceptions.toml"),
            );
            let (one_by_one, kept) = one_by_one.unwrap();
            assert_eq!(one_by_one.policy, read.policy, "{text}");
            assert_eq!(one_by_one.granted, read.granted);
            if !grants.is_empty() {
                assert_eq!(kept, text);
                assert_eq!(one_by_one, read);
            }
            assert!(one_by_one.has_granted(&kept) && !one_by_one.has_granted("other"));
            // Read again, they are there once; without them, the configuration is what it was.
            let again = read.with_granted(&text, "exceptions.toml").unwrap();
            assert_eq!(again.policy.exceptions.len(), 1 + grants.len());
            assert_eq!(again.without_granted(), config());
        }
    }

    #[test]
    fn a_command_is_told_what_is_wrong_with_it() {
        let now = UnixSeconds(1_800_000_000);
        let config = config();
        grant().check(&config, now).unwrap();
        let of = |change: fn(&mut Grant)| {
            let mut grant = grant();
            change(&mut grant);
            told(grant.check(&config, now))
        };
        for (said, words) in [
            (of(|one| one.id = "a b".into()), ["ID:1:1", "is no name"]),
            (
                of(|one| one.from = vec!["RU".into(), "5.136.0.300".into()]),
                ["--from:1:4", "not a prefix"],
            ),
            (of(|one| one.from = vec![]), ["--from", "name at least one"]),
            (
                of(|one| one.to = vec!["customer-71".into()]),
                ["--to:1:1", "did you mean \"customer-17\"?"],
            ),
            (
                of(|one| one.services = vec!["tcp/0".into()]),
                ["--proto and --port:1:1", "tcp/0"],
            ),
            (
                of(|one| one.owner = " ".into()),
                ["--owner:1:1", "says nothing"],
            ),
            (
                of(|one| one.reason = "a\nb".into()),
                ["--reason:1:1", "on one line"],
            ),
            (
                of(|one| one.until = Some("soon".into())),
                ["--until:1:1", "neither a day nor a time"],
            ),
            (
                of(|one| one.until = Some("2020-01-01".into())),
                ["--until:1:1", "it is 2027-01-15T08:00:00Z"],
            ),
        ] {
            for word in words {
                assert!(said.contains(word), "{word}: {said}");
            }
        }
    }

    #[test]
    fn a_tenant_that_is_gone_leaves_its_exceptions_idle() {
        let mut two = grant();
        two.id = "x-2".into();
        two.to.push("203.0.113.9".into());
        let mut shadowed = grant();
        shadowed.id = "standing".into();
        let text = Grant::to_text(&[grant(), two, shadowed]).unwrap();
        let text = text.replace("customer-17", "customer-18");
        let read = config().with_granted(&text, "exceptions.toml").unwrap();
        let ids: Vec<_> = read
            .policy
            .exceptions
            .iter()
            .map(|one| one.id.as_str())
            .collect();
        assert_eq!(ids, ["standing", "x-2"]);
        let [gone, part, shadowed] = &read.granted[..] else {
            panic!("{:?}", read.granted);
        };
        assert!(gone.is_idle() && !part.is_idle() && shadowed.is_idle());
        assert_eq!(part.missing, ["customer-18"]);
        let warnings = read.warnings().join("\n");
        assert!(
            warnings.contains("x-1, granted by command, does not hold"),
            "{warnings}"
        );
        assert!(
            warnings.contains("x-2, granted by command, holds only in part"),
            "{warnings}"
        );
        assert_eq!(read.without_granted(), config());
    }

    #[test]
    fn a_broken_text_is_named_with_its_line() {
        for (text, said) in [
            ("block = [\"RU\"]\n", "exceptions.toml:1:1"),
            ("\n[[exception]]\nid = \"x\"\n", "exceptions.toml:2:1"),
            ("[[exception\n", "exceptions.toml:1"),
        ] {
            let errors = config().with_granted(text, "exceptions.toml").unwrap_err();
            assert!(
                errors.render(false).contains(said),
                "{}",
                errors.render(false)
            );
        }
    }
}
