//! The names of the engine's keys.
//!
//! ```text
//! /geofence/FLEET/exceptions/NAME     an exception on every node
//! /geofence/FLEET/bans/NAME           a ban on every node
//! /geofence/FLEET/list/NAME           the release of a list
//! /geofence/FLEET/data/NAME           the release of a database
//! /geofence/FLEET/freeze              releases stop
//! /geofence/FLEET/policy/GROUP        the release of a policy
//! /geofence-content/FLEET/list/NAME/SHA256      a small content, of a list here
//! /geofence-node/FLEET/known/NODE     the group of a node that has a certificate
//! /geofence-node/FLEET/status/NODE    what a node says of itself, while its agent is connected
//! ```
//!
//! Agents watch what is for all nodes, which is all of the first tree that sorts before the policies, and of those
//! that of their group. Which one that is, the operator writes. What nodes write is in another tree, or each of N nodes
//! would hear of the N others.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The name of a fleet, a node, a group, a list or a database.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// The longest name.
const NAME_BYTES_MAX: usize = 64;

/// A text that is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a valid name: use 1 to {NAME_BYTES_MAX} letters, digits, `-`, `_` and `.`")]
pub struct BadName(String);

impl Name {
    /// A name that stands in a test.
    #[cfg(test)]
    pub(crate) fn fixed(text: &'static str) -> Self {
        Self(text.to_owned())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = BadName;

    fn try_from(text: String) -> Result<Self, BadName> {
        let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        // A name becomes that of a file.
        let is_path = text.starts_with('.');
        if text.is_empty() || text.len() > NAME_BYTES_MAX || is_path || !text.bytes().all(is_fit) {
            return Err(BadName(text));
        }
        Ok(Self(text))
    }
}

impl std::str::FromStr for Name {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        text.to_owned().try_into()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a release is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// The policy of a group.
    Policy(Name),
    List(Name),
    /// A GeoIP or AS database.
    Data(Name),
}

impl Subject {
    const KINDS: [&str; 3] = ["policy", "list", "data"];

    fn kind(&self) -> &'static str {
        match self {
            Self::Policy(_) => Self::KINDS[0],
            Self::List(_) => Self::KINDS[1],
            Self::Data(_) => Self::KINDS[2],
        }
    }

    #[must_use]
    pub const fn name(&self) -> &Name {
        match self {
            Self::Policy(name) | Self::List(name) | Self::Data(name) => name,
        }
    }

    /// Whether a node takes its releases, which is in this group.
    #[must_use]
    pub fn is_followed_in(&self, group: Option<&Name>) -> bool {
        match self {
            Self::Policy(own) => group == Some(own),
            Self::List(_) | Self::Data(_) => true,
        }
    }

    /// As it stands in a key, and in what is signed: `policy/default`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}/{}", self.kind(), self.name())
    }

    /// Reads `policy/default` and the like.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let (kind, name) = path.split_once('/')?;
        let name = name.parse().ok()?;
        match Self::KINDS.iter().position(|known| *known == kind)? {
            0 => Some(Self::Policy(name)),
            1 => Some(Self::List(name)),
            _ => Some(Self::Data(name)),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(group) => write!(f, "the policy of the group {group}"),
            Self::List(name) => write!(f, "the list {name}"),
            Self::Data(name) => write!(f, "the database {name}"),
        }
    }
}

/// The keys of a fleet.
#[derive(Clone, Debug)]
pub struct Keys {
    fleet: Name,
}

/// The keys from one to before another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    pub from: String,
    pub before: String,
}

impl Range {
    /// All keys that begin so, which ends in `/`.
    #[must_use]
    pub fn below(prefix: String) -> Self {
        let mut before = prefix.clone();
        if before.pop().is_some() {
            // The next byte.
            before.push('0');
        }
        Self {
            from: prefix,
            before,
        }
    }

    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        (self.from.as_str()..self.before.as_str()).contains(&key)
    }
}

/// What a key that agents watch is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watched {
    /// An exception or a ban; the daemon's name of it.
    Exception(String),
    Release(Subject),
    Freeze,
}

impl Keys {
    #[must_use]
    pub fn of(fleet: &Name) -> Self {
        Self {
            fleet: fleet.clone(),
        }
    }

    /// What agents watch some of.
    #[must_use]
    pub fn watched(&self) -> String {
        format!("/geofence/{}/", self.fleet)
    }

    /// What every agent watches.
    #[must_use]
    pub fn shared(&self) -> Range {
        before_policies(self.watched())
    }

    #[must_use]
    pub fn exceptions(&self) -> String {
        format!("{}exceptions/", self.watched())
    }

    #[must_use]
    pub fn bans(&self) -> String {
        format!("{}bans/", self.watched())
    }

    #[must_use]
    pub fn release(&self, subject: &Subject) -> String {
        format!("{}{}", self.watched(), subject.path())
    }

    #[must_use]
    pub fn freeze(&self) -> String {
        format!("{}freeze", self.watched())
    }

    #[must_use]
    pub fn contents(&self) -> String {
        format!("/geofence-content/{}/", self.fleet)
    }

    #[must_use]
    pub fn content(&self, subject: &Subject, sha256: &str) -> String {
        format!("{}{}/{sha256}", self.contents(), subject.path())
    }

    /// The contents that every agent may read.
    #[must_use]
    pub fn shared_contents(&self) -> Range {
        before_policies(self.contents())
    }

    #[must_use]
    pub fn known_nodes(&self) -> String {
        format!("/geofence-node/{}/known/", self.fleet)
    }

    #[must_use]
    pub fn known_node(&self, node: &Name) -> String {
        format!("{}{node}", self.known_nodes())
    }

    #[must_use]
    pub fn statuses(&self) -> String {
        format!("/geofence-node/{}/status/", self.fleet)
    }

    #[must_use]
    pub fn status(&self, node: &Name) -> String {
        format!("{}{node}", self.statuses())
    }

    /// What a watched key is about; nothing if an agent of this version does not know.
    #[must_use]
    pub fn read(&self, key: &str) -> Option<Watched> {
        let path = key.strip_prefix(&self.watched())?;
        if path == "freeze" {
            return Some(Watched::Freeze);
        }
        let exception = path.strip_prefix("exceptions/");
        if let Some(name) = exception.or_else(|| path.strip_prefix("bans/")) {
            return Some(Watched::Exception(name.to_owned()));
        }
        Subject::parse(path).map(Watched::Release)
    }
}

/// All below a prefix but the policies, of which a node reads those of its group only.
fn before_policies(from: String) -> Range {
    let before = format!("{from}{}/", Subject::KINDS[0]);
    Range { from, before }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_written() {
        let keys = Keys::of(&Name::fixed("main"));
        let name = Name::fixed("a");
        for subject in [
            Subject::Policy(name.clone()),
            Subject::List(name.clone()),
            Subject::Data(name),
        ] {
            let key = keys.release(&subject);
            assert_eq!(keys.read(&key), Some(Watched::Release(subject)));
        }
        let read = |key: &str| keys.read(&format!("{}{key}", keys.watched()));
        assert_eq!(read("freeze"), Some(Watched::Freeze));
        let exception = |name: &str| Some(Watched::Exception(name.to_owned()));
        assert_eq!(read("bans/ban-192.0.2.1"), exception("ban-192.0.2.1"));
        assert_eq!(read("exceptions/fleet-a"), exception("fleet-a"));
        for unknown in ["", "policy/", "policy/../x", "waves/1"] {
            assert_eq!(read(unknown), None, "{unknown}");
        }
        assert_eq!(keys.read("/geofence/other/freeze"), None);
    }

    #[test]
    fn all_but_the_policies_is_shared() {
        let keys = Keys::of(&Name::fixed("main"));
        let name = Name::fixed("a");
        let subjects = [Subject::List, Subject::Data, Subject::Policy].map(|of| of(name.clone()));
        for subject in subjects {
            let is_shared = !matches!(subject, Subject::Policy(_));
            assert_eq!(keys.shared().contains(&keys.release(&subject)), is_shared);
            let content = keys.content(&subject, "0f");
            assert_eq!(keys.shared_contents().contains(&content), is_shared);
        }
        for key in [keys.exceptions(), keys.bans(), keys.freeze()] {
            assert!(keys.shared().contains(&key), "{key}");
        }
        let other = Keys::of(&Name::fixed("other"));
        assert!(!keys.shared().contains(&other.freeze()));
    }

    #[test]
    fn names_are_no_paths() {
        for wrong in ["", ".", "..", "a/b", "a b", "ä", &"a".repeat(65)] {
            assert!(wrong.parse::<Name>().is_err(), "{wrong}");
        }
        assert!("edge-1.example_2".parse::<Name>().is_ok());
    }
}
