//! A runtime exception, and what a configuration keeps of all of them.

use std::collections::HashSet;
use std::sync::Arc;

use crate::config::asn;
use crate::config::exception_spec::ExceptionSpec;

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
    pub(in crate::config) own_names: HashSet<String>,
    /// A hash of the text they were read from; nothing before one was read.
    pub(in crate::config) text_hash: Option<u64>,
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

    pub(in crate::config) fn warning(&self) -> Option<String> {
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
