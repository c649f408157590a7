//! Reading runtime exceptions beside a configuration, and taking them out again.

use std::collections::HashSet;
use std::hash::BuildHasher as _;

use foldhash::quality::FixedState;

use crate::config::configuration::Config;
use crate::config::error::{ConfigErrors, Problem, quoted};
use crate::config::schema::RUNTIME_EXCEPTION;
use crate::config::sources::Sources;
use crate::config::table::AnyTable as _;
use crate::config::{asn_mentions, toml_text};
use crate::model::policy::AsRule;

impl Config {
    /// Replaces the runtime exceptions by those of a text.
    ///
    /// # Errors
    /// All that is wrong with the text, each with its place under the name of the file.
    pub fn with_runtime_exceptions(
        self,
        text: &str,
        file_name: &str,
    ) -> Result<Self, ConfigErrors> {
        let mut own = self.without_runtime_exceptions();
        let names = own.policy.exceptions.iter();
        own.runtime.own_names = names.map(|one| one.id.clone()).collect();
        let mut read = own.with_more_runtime_exceptions(text, file_name)?;
        read.runtime.text_hash = Some(hash(text));
        Ok(read)
    }

    /// Whether its runtime exceptions are those of this text.
    #[must_use]
    pub fn has_runtime_exceptions_of(&self, text: &str) -> bool {
        self.runtime.text_hash == Some(hash(text))
    }

    /// Adds the exceptions of a text to those it has; none of them may have the name of another.
    ///
    /// # Errors
    /// As for `with_runtime_exceptions`.
    pub(super) fn with_more_runtime_exceptions(
        mut self,
        text: &str,
        file_name: &str,
    ) -> Result<Self, ConfigErrors> {
        let sources = Sources::one(file_name, text);
        toml_text::read(&sources, str::to_owned, |table, sources, faults| {
            for (name, value) in table {
                if name.get_ref() == RUNTIME_EXCEPTION.name() {
                    RUNTIME_EXCEPTION.read(&mut self, name.span(), value, faults);
                    continue;
                }
                let problem = Problem::new(
                    format!("{} does not belong here", quoted(name.get_ref())),
                    "not [[exception]]",
                    "this file stores the exceptions added by command; write the rest to the configuration",
                );
                faults.push(problem.at(name.span()));
            }
            asn_mentions::locate(&mut self, sources);
        })?;
        self.runtime.own_names = HashSet::new();
        Ok(self)
    }

    /// The configuration alone.
    #[must_use]
    pub fn without_runtime_exceptions(mut self) -> Self {
        let names = self.runtime.names_in_force();
        let names: HashSet<String> = names.map(str::to_owned).collect();
        self.runtime.list.clear();
        self.runtime.text_hash = None;
        let exceptions = &mut self.policy.exceptions;
        exceptions.retain(|one| !names.contains(&one.id));
        self.as_mentions.retain(
            |mention| !matches!(&mention.rule, AsRule::Exception(id) if names.contains(id)),
        );
        self
    }
}

/// Distinguishes one text from others.
pub(super) fn hash(text: &str) -> u64 {
    FixedState::default().hash_one(text)
}
