//! An exception as it is written, by a file or a command: no name in it is resolved. And what a configuration keeps of
//! those added by command.

use std::collections::HashSet;
use std::sync::Arc;

use ipnet::IpNet;
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Serialize, Serializer};

use super::asn::{self, AsMention};
use super::targets;
use crate::model::policy::{AsRule, Destination, Exception, Origin, Policy, Traffic};

/// An exception in the words it was written with. The names of the fields are those of the keys of `[[exception]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExceptionSpec {
    pub id: String,
    pub from: Vec<String>,
    pub to: Vec<String>,
    /// Empty for all traffic.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<String>,
    /// "pass" if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    pub owner: String,
    pub reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// The first lines of a file that stores runtime exceptions.
pub(super) const HEAD: &str =
    "# Exceptions granted by `geofence exception add`, which rewrites this file.\n\n";

#[derive(Serialize)]
struct File<'a> {
    exception: &'a [ExceptionSpec],
}

/// What happens to the packets of an exception, and of a ban.
const PASS: &str = "pass";
pub(super) const DROP: &str = "drop";

impl ExceptionSpec {
    /// A ban of a prefix: what `geofence ban` asks for. Its name is that of the prefix, so that it is found by it.
    #[must_use]
    pub fn ban(prefix: &IpNet, reason: &str, owner: &str, until: String) -> Self {
        Self {
            id: ban_name(prefix),
            from: vec![shortest(prefix)],
            to: vec![targets::ANY.to_owned()],
            services: Vec::new(),
            action: Some(DROP.to_owned()),
            owner: owner.to_owned(),
            reason: reason.to_owned(),
            until: Some(until),
        }
    }

    /// What happens to the packets.
    #[must_use]
    pub fn action(&self) -> &str {
        self.action.as_deref().unwrap_or(PASS)
    }

    /// Whether it is a ban.
    #[must_use]
    pub fn is_ban(&self) -> bool {
        self.action() == DROP
    }

    /// The text of a file that stores these.
    ///
    /// # Errors
    /// TOML can express every text, so none is expected.
    pub(super) fn to_file(exceptions: &[Self]) -> Result<String, toml::ser::Error> {
        if exceptions.is_empty() {
            return Ok(HEAD.to_owned());
        }
        let text = toml::to_string(&File {
            exception: exceptions,
        })?;
        Ok(format!("{HEAD}{text}"))
    }

    /// Serializes every field, also those that are empty.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize_whole<S: Serializer>(this: &Self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("ExceptionSpec", 8)?;
        fields.serialize_field("id", &this.id)?;
        fields.serialize_field("from", &this.from)?;
        fields.serialize_field("to", &this.to)?;
        fields.serialize_field("services", &this.services)?;
        fields.serialize_field("action", this.action())?;
        fields.serialize_field("owner", &this.owner)?;
        fields.serialize_field("reason", &this.reason)?;
        fields.serialize_field("until", &this.until)?;
        fields.end()
    }

    /// An exception of a policy in such words; `mentions` has the autonomous systems that rules name.
    #[must_use]
    pub fn of(exception: &Exception, policy: &Policy, mentions: &[AsMention]) -> Self {
        let systems = mentions.iter().filter(
            |mention| matches!(&mention.rule, AsRule::Exception(id) if *id == exception.id),
        );
        let from = exception.from.iter().map(|origin| match origin {
            Origin::Prefix(net) => shortest(net),
            Origin::Country(country) => country.name().to_owned(),
        });
        let from = from.chain(systems.map(|mention| mention.name.to_string()));
        let to = exception.to.iter().map(|destination| match destination {
            Destination::Anywhere => targets::ANY.to_owned(),
            Destination::Prefix(net) => shortest(net),
            Destination::Tenant(number) => policy
                .tenant(*number)
                .map_or_else(|| format!("tenant {number}"), |tenant| tenant.name.clone()),
        });
        let services = exception.traffic.iter().filter_map(|one| match one {
            Traffic::Any => None,
            Traffic::Protocol(number) => Some(targets::protocol(*number)),
            Traffic::Service(service) => Some(service.to_string()),
        });
        Self {
            id: exception.id.clone(),
            from: from.collect(),
            to: to.collect(),
            services: services.collect(),
            action: exception.is_ban.then(|| DROP.to_owned()),
            owner: exception.owner.clone(),
            reason: exception.reason.clone(),
            until: exception.until.map(|until| until.to_string()),
        }
    }
}

/// An exception added by command, and what has changed under it since.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuntimeException {
    pub spec: ExceptionSpec,
    /// Destinations that were tenants and no longer exist.
    pub missing_tenants: Vec<String>,
    /// Whether the configuration has an exception of the same name, which replaces this one.
    pub is_shadowed: bool,
    /// Autonomous systems that cannot be resolved, because the configuration names no database of them.
    pub systems_without_database: Vec<String>,
    /// Why autonomous systems are not in the database; known once it has been read.
    pub unknown_systems: Vec<String>,
}

/// The runtime exceptions that a configuration was read with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuntimeExceptions {
    /// All of them; those in force are in the policy as well.
    pub list: Vec<Arc<RuntimeException>>,
    /// The names of the configuration's own exceptions; set only while runtime exceptions are read beside them.
    pub(super) own_names: HashSet<String>,
    /// A hash of the text they were read from; nothing before one was read.
    pub(super) text_hash: Option<u64>,
}

impl RuntimeException {
    /// Whether the policy does without it.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let all = |missing: &[String], named: &[String]| {
            !missing.is_empty() && missing.len() == named.len()
        };
        self.is_shadowed
            || all(&self.missing_tenants, &self.spec.to)
            || all(&self.systems_without_database, &self.spec.from)
    }

    /// Why it is not in force, or only in part; nothing if it is.
    #[must_use]
    pub fn note(&self) -> Option<String> {
        if self.is_shadowed {
            let note = "the configuration has an exception of the same name, which replaces it";
            return Some(note.to_owned());
        }
        let mut reasons = Vec::new();
        if !self.missing_tenants.is_empty() {
            let tenants = self.missing_tenants.join(", ");
            reasons.push(format!("the tenant {tenants} no longer exists"));
        }
        if !self.systems_without_database.is_empty() {
            let systems = self.systems_without_database.join(", ");
            let key = asn::DATABASE;
            reasons.push(format!(
                "`{key}` is no longer set, so the prefixes of {systems} are unknown"
            ));
        }
        reasons.extend(self.unknown_systems.iter().cloned());
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }

    pub(super) fn warning(&self) -> Option<String> {
        let (id, note) = (&self.spec.id, self.note()?);
        let state = if self.is_idle() {
            "not in force"
        } else {
            "in force only in part"
        };
        Some(format!(
            "the runtime exception {id} is {state}: {note}; `geofence exception remove {id}` removes it"
        ))
    }
}

impl RuntimeExceptions {
    /// The text of a file that stores them.
    ///
    /// # Errors
    /// TOML can express every text, so none is expected.
    pub fn to_file(&self) -> Result<String, toml::ser::Error> {
        let specs: Vec<_> = self.list.iter().map(|one| one.spec.clone()).collect();
        ExceptionSpec::to_file(&specs)
    }

    /// The names of those that are in the policy.
    pub(super) fn names_in_force(&self) -> impl Iterator<Item = &str> {
        let in_force = self.list.iter().filter(|one| !one.is_idle());
        in_force.map(|one| one.spec.id.as_str())
    }
}

/// What the names of bans begin with.
pub const BAN: &str = "ban-";

/// The name of a ban. Names have neither colons nor slashes.
#[must_use]
pub fn ban_name(prefix: &IpNet) -> String {
    let source = shortest(prefix).replace(':', "-").replace('/', "_");
    format!("{BAN}{source}")
}

/// A prefix, or its address alone if it holds no other.
fn shortest(net: &IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() {
        net.addr().to_string()
    } else {
        net.to_string()
    }
}
