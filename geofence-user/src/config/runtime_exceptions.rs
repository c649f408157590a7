//! Exceptions added by command, beside a configuration: reading them, checking one before it is added, changing one.
//!
//! Their file has `[[exception]]` tables and nothing else; the readers of the configuration read it. The same readers
//! check what a command says, with the command's options in place of a file. Reading or writing a hundred thousand of
//! them again would take too long for one change, so only the changed one is read and written, and the result is what
//! reading everything again would give.

use std::collections::HashSet;
use std::hash::BuildHasher as _;
use std::slice;
use std::sync::Arc;

use foldhash::quality::FixedState;

use super::configuration::Config;
use super::error::{ConfigErrors, Fault, Problem, quoted};
use super::exception_spec::{ExceptionSpec, HEAD};
use super::schema::RUNTIME_EXCEPTION;
use super::sources::Sources;
use super::table::AnyTable as _;
use super::value::{Value, joined};
use super::{asn, asn_mentions, targets, toml_text};
use crate::model::policy::AsRule;
use crate::model::units::UnixSeconds;

#[cfg(test)]
mod tests;

/// Why a runtime exception was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error(transparent)]
    Text(#[from] toml::ser::Error),
    #[error("{}", .0.render(false))]
    Config(#[from] ConfigErrors),
}

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
    fn with_more_runtime_exceptions(
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

    /// Adds a runtime exception, also to the text of the file; returns the new text.
    ///
    /// # Errors
    /// All that is wrong with the exception.
    pub fn add_runtime_exception(
        mut self,
        spec: &ExceptionSpec,
        mut text: String,
        file_name: &str,
    ) -> Result<(Self, String), ChangeError> {
        let added = ExceptionSpec::to_file(slice::from_ref(spec))?;
        let is_taken = self.policy.exceptions.iter().any(|one| one.id == spec.id)
            && self.runtime.names_in_force().all(|id| id != spec.id);
        let taken = is_taken.then(|| spec.id.clone());
        self.runtime.own_names = taken.into_iter().collect();
        let mut read = self.with_more_runtime_exceptions(&added, file_name)?;
        let entry = added.strip_prefix(HEAD).unwrap_or(&added);
        if text.is_empty() {
            text.push_str(HEAD);
        }
        while !text.ends_with("\n\n") {
            text.push('\n');
        }
        text.push_str(entry);
        read.runtime.text_hash = Some(hash(&text));
        Ok((read, text))
    }

    /// Changes when the runtime exception at this position expires; returns the new text of the file.
    ///
    /// # Errors
    /// When `until` is no time.
    pub fn extend_runtime_exception(
        mut self,
        at: usize,
        until: &str,
        text: &str,
    ) -> Result<(Self, String), ChangeError> {
        let exception = Arc::make_mut(&mut self.runtime.list[at]);
        let before = exception.spec.clone();
        exception.spec.until = Some(until.to_owned());
        let after = exception.spec.clone();
        let expiry = after.expiry()?;
        if !exception.is_idle() {
            let in_force = self.policy.exceptions.iter_mut();
            for one in in_force.filter(|one| one.id == after.id) {
                Arc::make_mut(one).until = expiry;
            }
        }
        let text = self.rewritten(text, &before, Some(&after))?;
        Ok((self, text))
    }

    /// Removes the runtime exception at this position; returns the new text of the file.
    ///
    /// # Errors
    /// When the text cannot be written, which is not expected.
    pub fn remove_runtime_exception(
        mut self,
        at: usize,
        text: &str,
    ) -> Result<(Self, String), ChangeError> {
        let removed = self.runtime.list.remove(at);
        let id = &removed.spec.id;
        if !removed.is_idle() {
            self.policy.exceptions.retain(|one| one.id != *id);
            self.as_mentions
                .retain(|mention| !matches!(&mention.rule, AsRule::Exception(of) if of == id));
        }
        let text = self.rewritten(text, &removed.spec, None)?;
        Ok((self, text))
    }

    /// The text with an entry changed or removed. If the entry was edited by hand, all entries are written anew.
    fn rewritten(
        &mut self,
        text: &str,
        before: &ExceptionSpec,
        after: Option<&ExceptionSpec>,
    ) -> Result<String, toml::ser::Error> {
        let text = match replaced(text, before, after)? {
            Some(text) => text,
            None => {
                let specs = self.runtime.list.iter().map(|one| one.spec.clone());
                ExceptionSpec::to_file(&specs.collect::<Vec<_>>())?
            }
        };
        self.runtime.text_hash = Some(hash(&text));
        Ok(text)
    }
}

/// The text of a file with an entry replaced or removed; nothing if the entry is not written as `to_file` writes it.
fn replaced(
    text: &str,
    before: &ExceptionSpec,
    after: Option<&ExceptionSpec>,
) -> Result<Option<String>, toml::ser::Error> {
    let entry = |spec: &ExceptionSpec| -> Result<String, toml::ser::Error> {
        let text = ExceptionSpec::to_file(slice::from_ref(spec))?;
        Ok(text.strip_prefix(HEAD).unwrap_or(&text).to_owned())
    };
    let before = entry(before)?;
    let after = after.map(entry).transpose()?.unwrap_or_default();
    // A blank line stands in front of every entry, and behind it when it is not the last. A text in the file has no
    // line breaks, so what looks like an entry is one.
    let found = text.match_indices(&before).find(|(at, _)| {
        let behind = &text[at + before.len()..];
        text[..*at].ends_with("\n\n") && (behind.is_empty() || behind.starts_with('\n'))
    });
    let Some((at, _)) = found else {
        return Ok(None);
    };
    let (front, behind) = (&text[..at], &text[at + before.len()..]);
    let (front, behind) = if !after.is_empty() {
        (front, behind)
    } else if behind.is_empty() && front != HEAD {
        (&front[..front.len() - 1], behind)
    } else {
        (front, behind.strip_prefix('\n').unwrap_or(behind))
    };
    Ok(Some([front, &after, behind].concat()))
}

/// Distinguishes one text from others.
fn hash(text: &str) -> u64 {
    FixedState::default().hash_one(text)
}

impl ExceptionSpec {
    /// Checks that it can be added beside a configuration.
    ///
    /// # Errors
    /// All that is wrong, each under the option that says it.
    pub fn check(&self, config: &Config, now: UnixSeconds) -> Result<(), ConfigErrors> {
        self.check_beside(Some(config), now)
    }

    /// Checks what is wrong beside every configuration: which tenants there are, and whether there is a database of
    /// autonomous systems, is not known.
    ///
    /// # Errors
    /// All that is wrong, each under the option that says it.
    pub fn check_alone(&self, now: UnixSeconds) -> Result<(), ConfigErrors> {
        self.check_beside(None, now)
    }

    fn check_beside(&self, config: Option<&Config>, now: UnixSeconds) -> Result<(), ConfigErrors> {
        let mut result = Ok(());
        let mut check = |option: &str, text: &str, read: &dyn Fn(&mut Vec<Fault>)| {
            let mut faults = Vec::new();
            read(&mut faults);
            let before = std::mem::replace(&mut result, Ok(()));
            result = ConfigErrors::both(before, ConfigErrors::of(option, text, faults));
        };
        check("ID", &self.id, &|faults| {
            Value::from_option(&self.id).one(faults, targets::name);
        });
        let list = |texts: &[String]| texts.join(" ");
        check("--from", &list(&self.from), &|faults| {
            let from = joined(self.from.iter().map(String::as_str));
            let (_, systems) = targets::origins(&from, faults);
            if config.is_some_and(|config| config.asn_database.is_none()) {
                let systems = systems.into_iter();
                faults.extend(systems.map(|(name, span)| asn::no_database(&name).at(span)));
            }
            refuse_none("--from", &self.from, faults);
        });
        let tenants = config.map_or(&[][..], |config| &config.policy.tenants);
        let is_known =
            |text: &String| config.is_some() || !targets::is_missing_tenant(tenants, text);
        let to: Vec<String> = self.to.iter().filter(|to| is_known(to)).cloned().collect();
        check("--to", &list(&to), &|faults| {
            let to = joined(to.iter().map(String::as_str));
            targets::destinations(tenants, &to, true, faults);
            refuse_none("--to", &self.to, faults);
        });
        check("--proto and --port", &list(&self.services), &|faults| {
            let services = joined(self.services.iter().map(String::as_str));
            Value::List(services, 0..0).many(faults, targets::traffic);
        });
        for (option, text) in [("--owner", &self.owner), ("--reason", &self.reason)] {
            check(option, text, &|faults| {
                Value::from_option(text).one(faults, targets::words);
            });
        }
        ConfigErrors::both(result, self.check_until(now).map(|_| ()))
    }

    /// When it expires, if it does.
    ///
    /// # Errors
    /// When the text is no time.
    pub fn expiry(&self) -> Result<Option<UnixSeconds>, ConfigErrors> {
        self.check_until(UnixSeconds(0))
    }

    /// The same, and the time must be in the future.
    ///
    /// # Errors
    /// When the text is no time, or one in the past.
    pub fn check_until(&self, now: UnixSeconds) -> Result<Option<UnixSeconds>, ConfigErrors> {
        let Some(text) = &self.until else {
            return Ok(None);
        };
        let mut faults = Vec::new();
        let until = Value::from_option(text).one(&mut faults, targets::expiry);
        if let Some(until) = until.filter(|until| *until <= now) {
            let problem = Problem::new(
                format!("{} is in the past", quoted(text)),
                format!("that was {until}; it is {now}"),
                "give a time in the future: --until 2027-03-31, or --expires 30d",
            );
            faults.push(problem.at(0..text.len()));
        }
        ConfigErrors::of("--until", text, faults).map(|()| until)
    }
}

fn refuse_none(option: &str, texts: &[String], faults: &mut Vec<Fault>) {
    if texts.is_empty() {
        let problem = Problem::new(format!("{option} is missing"), "", "name at least one");
        faults.push(Fault::whole(problem));
    }
}
