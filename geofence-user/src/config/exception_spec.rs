//! An exception as it is written, by a file or a command: no name in it is resolved.

use ipnet::IpNet;
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Serialize, Serializer};

use super::asn::AsMention;
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
