//! Autonomous systems that rules name, with the prefixes that the data gives them.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

/// An autonomous system that a rule names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AutonomousSystem {
    pub number: u32,
    /// The name of its organisation; may be empty.
    pub name: String,
    pub rule: AsRule,
    /// Sorted.
    pub prefixes: Vec<IpNet>,
}

/// The rule that names an autonomous system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AsRule {
    Allow,
    Deny,
    /// The exception of this name.
    Exception(String),
}

impl AutonomousSystem {
    /// The first of its prefixes that holds the address.
    #[must_use]
    pub fn find(&self, address: IpAddr) -> Option<IpNet> {
        let mut prefixes = self.prefixes.iter();
        prefixes.find(|net| net.contains(&address)).copied()
    }
}

/// `AS64500 (Example Org)`.
impl fmt::Display for AutonomousSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AS{}", self.number)?;
        if self.name.is_empty() {
            return Ok(());
        }
        write!(f, " ({})", self.name)
    }
}

impl fmt::Display for AsRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow => f.write_str("allow"),
            Self::Deny => f.write_str("deny"),
            Self::Exception(id) => write!(f, "exception {id}"),
        }
    }
}
