//! Autonomous systems that rules name, resolved to the prefixes they have in the database.
//!
//! A name without a network is an error, because a rule without addresses has no effect. The error names the place and
//! offers the nearest names.

use std::fmt;
use std::sync::Arc;

use crate::config::{AsMention, AsName, Config};
use crate::data::asn::AsDatabase;
use crate::model::policy::{AsRule, AutonomousSystem};

/// How many names an error offers.
const OFFERED_MAX: usize = 3;
/// The least similarity at which a name is offered.
const ALIKE: f64 = 0.85;

/// An autonomous system that the database does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}; {help}")]
pub struct UnknownAs {
    /// File, line and column.
    pub place: String,
    pub problem: String,
    pub help: String,
}

/// All that the database does not have; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownAsErrors(pub Vec<UnknownAs>);

impl std::error::Error for UnknownAsErrors {}

impl fmt::Display for UnknownAsErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&texts.join("\n"))
    }
}

/// Gives the policy the prefixes of the autonomous systems that its rules name. A runtime exception loses those that
/// the database does not have: a change of the data must not keep the filter from starting.
pub(super) fn resolve(config: &mut Config, data: &AsDatabase) -> Result<(), UnknownAsErrors> {
    let mut unknown = Vec::new();
    let policy = &mut config.policy;
    policy.autonomous_systems.clear();
    for exception in &mut config.runtime.list {
        if !exception.unknown_systems.is_empty() {
            Arc::make_mut(exception).unknown_systems.clear();
        }
    }
    for mention in &config.as_mentions {
        let numbers = match numbers(mention, data) {
            Ok(numbers) => numbers,
            Err(error) => {
                let exception = config.runtime.list.iter_mut().find(|one| {
                    mention.rule == AsRule::Exception(one.spec.id.clone()) && !one.is_idle()
                });
                match exception {
                    Some(exception) => Arc::make_mut(exception)
                        .unknown_systems
                        .push(error.to_string()),
                    None => unknown.push(error),
                }
                continue;
            }
        };
        for number in numbers {
            let system = AutonomousSystem {
                number,
                name: data.names().get(&number).cloned().unwrap_or_default(),
                rule: mention.rule.clone(),
                prefixes: data.prefixes(number),
            };
            // A rule may name one both by number and by organisation.
            if !policy.autonomous_systems.contains(&system) {
                policy.autonomous_systems.push(system);
            }
        }
    }
    if unknown.is_empty() {
        Ok(())
    } else {
        Err(UnknownAsErrors(unknown))
    }
}

/// The AS numbers that a mention stands for; an organisation may have several.
fn numbers(mention: &AsMention, data: &AsDatabase) -> Result<Vec<u32>, UnknownAs> {
    let refuse = |problem: String, help: String| UnknownAs {
        place: mention.place.clone(),
        problem,
        help,
    };
    let file = &data.info().name;
    let wanted = match &mention.name {
        AsName::Number(number) if data.names().contains_key(number) => return Ok(vec![*number]),
        AsName::Number(number) => {
            let offered = offered(data, &like_number(*number, data), "");
            return Err(refuse(
                format!("AS{number} has no network in {file}"),
                offered.unwrap_or_else(|| {
                    "remove it, or name a newer file with `asn-database`".to_owned()
                }),
            ));
        }
        AsName::Organisation(name) => name,
    };
    let folded = wanted.to_lowercase();
    let called = |text: &str| {
        let all = data.names().iter().filter(move |(_, name)| *name == text);
        all.map(|(number, _)| *number).collect::<Vec<u32>>()
    };
    let mut names: Vec<&String> = data
        .names()
        .values()
        .filter(|name| name.to_lowercase() == folded)
        .collect();
    names.sort_unstable();
    names.dedup();
    match names.as_slice() {
        [name] => Ok(called(name)),
        [] => {
            let offered = offered(data, &like_name(&folded, data), ":");
            Err(refuse(
                format!("no organisation in {file} is called `{wanted}`"),
                offered.unwrap_or_else(|| "write its number, such as \"AS64500\"".to_owned()),
            ))
        }
        several if several.contains(&wanted) => Ok(called(wanted)),
        several => {
            let numbers = several.iter().flat_map(|name| called(name));
            let numbers: Vec<String> = numbers.map(|number| described(data, number)).collect();
            Err(refuse(
                format!("{} organisations in {file} have that name", several.len()),
                format!(
                    "write the number of the one you mean: {}",
                    numbers.join(", ")
                ),
            ))
        }
    }
}

/// AS numbers that differ by one typing error.
fn like_number(number: u32, data: &AsDatabase) -> Vec<u32> {
    let wanted = number.to_string();
    let is_near = |other: &&u32| strsim::damerau_levenshtein(&wanted, &other.to_string()) == 1;
    let near = data.names().keys().filter(is_near);
    near.take(OFFERED_MAX).copied().collect()
}

/// AS numbers whose organisation contains the name or is similar to it; one for each organisation.
fn like_name(wanted: &str, data: &AsDatabase) -> Vec<u32> {
    let mut scored: Vec<(f64, &str, u32)> = data
        .names()
        .iter()
        .filter_map(|(number, name)| {
            let folded = name.to_lowercase();
            let score = if folded.contains(wanted) {
                // Of those that contain it, the shortest comes first.
                2.0 - name.len() as f64 / 1000.0
            } else {
                strsim::jaro_winkler(&folded, wanted)
            };
            (score >= ALIKE).then_some((score, name.as_str(), *number))
        })
        .collect();
    scored.sort_by(|one, two| two.0.total_cmp(&one.0).then(one.1.cmp(two.1)));
    scored.dedup_by_key(|(_, name, _)| *name);
    let best = scored.into_iter().take(OFFERED_MAX);
    best.map(|(_, _, number)| number).collect()
}

/// The question whether one of these was meant: by number or, with a mark, by name.
fn offered(data: &AsDatabase, numbers: &[u32], mark: &str) -> Option<String> {
    let texts: Vec<String> = numbers
        .iter()
        .map(|number| match data.names().get(number) {
            Some(name) if !mark.is_empty() => format!("\"AS{mark}{name}\" (AS{number})"),
            _ => described(data, *number),
        })
        .collect();
    let (last, rest) = texts.split_last()?;
    Some(if rest.is_empty() {
        format!("did you mean {last}?")
    } else {
        format!("did you mean {} or {last}?", rest.join(", "))
    })
}

fn described(data: &AsDatabase, number: u32) -> String {
    match data.names().get(&number).filter(|name| !name.is_empty()) {
        Some(name) => format!("AS{number} ({name})"),
        None => format!("AS{number}"),
    }
}

#[cfg(test)]
mod tests {
    use ipnet::IpNet;

    use super::*;
    use crate::mmdb_writer::{Schema, Writer};

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn data() -> AsDatabase {
        let mut writer = Writer::new(Schema::Asn);
        for (prefix, system) in [
            ("198.51.100.0/24", "64500 Example Org"),
            ("203.0.113.0/24", "64501 Example Org"),
            ("192.0.2.0/24", "64511 Other Ltd"),
            ("2001:db8::/32", "65550 OTHER LTD"),
        ] {
            writer.add_code(net(prefix), system);
        }
        AsDatabase::from_bytes("asn.mmdb", writer.finish()).unwrap()
    }

    fn resolved(text: &str) -> Result<Config, String> {
        let text = format!("asn-database = \"asn.mmdb\"\n{text}");
        let config = Config::parse(&text, "test.toml");
        let mut config = config.unwrap_or_else(|errors| panic!("{}", errors.render(false)));
        resolve(&mut config, &data()).map_err(|error| error.to_string())?;
        Ok(config)
    }

    #[test]
    fn named_systems_become_their_prefixes() {
        let config = resolved(
            r#"
            allow = ["AS64511", "203.0.113.7"]
            deny = ["AS:example org"]
            [[exception]]
            id = "one"
            from = ["AS65550", "KZ"]
            to = ["any"]
            owner = "operator"
            reason = "some reason"
            "#,
        )
        .unwrap();
        let policy = &config.policy;
        let systems: Vec<String> = policy
            .autonomous_systems
            .iter()
            .map(|system| format!("{} {system}: {:?}", system.rule, system.prefixes))
            .collect();
        let expected = [
            "allow AS64511 (Other Ltd): [192.0.2.0/24]",
            "deny AS64500 (Example Org): [198.51.100.0/24]",
            "deny AS64501 (Example Org): [203.0.113.0/24]",
            "exception one AS65550 (OTHER LTD): [2001:db8::/32]",
        ];
        assert_eq!(systems, expected);
        assert_eq!(policy.allow, [net("203.0.113.7/32")]);
        assert!(policy.deny.is_empty());
        assert_eq!(policy.exceptions[0].from.len(), 1);
    }

    #[test]
    fn unknown_name_is_an_error_that_offers_the_nearest() {
        for (text, says) in [
            (
                "deny = [\"AS64502\"]",
                "test.toml:2:9: AS64502 has no network in asn.mmdb; did you mean AS64500 (Example Org) or AS64501",
            ),
            ("deny = [\"AS7\"]", "name a newer file with `asn-database`"),
            (
                "allow = [\"AS:Exmaple Org\"]",
                "test.toml:2:10: no organisation in asn.mmdb is called `Exmaple Org`; did you mean \"AS:Example Org\" \
                 (AS64500)?",
            ),
            (
                "allow = [\"AS:example\"]",
                "did you mean \"AS:Example Org\"",
            ),
            ("allow = [\"AS:Unheard of\"]", "write its number, such as"),
            (
                "allow = [\"AS:other ltd\"]",
                "2 organisations in asn.mmdb have that name; write the number of the one you mean: AS65550 (OTHER \
                 LTD), AS64511 (Other Ltd)",
            ),
        ] {
            let error = resolved(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
        assert_eq!(
            resolved("deny = [\"AS:OTHER LTD\"]")
                .unwrap()
                .policy
                .autonomous_systems
                .len(),
            1
        );
        let both = resolved("deny = [\"AS1\",\n\"AS2\"]").unwrap_err();
        assert!(
            both.contains("test.toml:2:9") && both.contains("\ntest.toml:3:1"),
            "{both}"
        );
    }
}
