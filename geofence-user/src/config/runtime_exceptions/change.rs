//! One runtime exception added, extended or removed, in a configuration and in the text of the file.
//!
//! To read or write a hundred thousand of them again takes too long for one change. Only the changed one is read and
//! written, and the result is what reading everything again would give.

use std::slice;
use std::sync::Arc;

use super::load::hash;
use crate::config::configuration::Config;
use crate::config::error::ConfigErrors;
use crate::config::exception_spec::{ExceptionSpec, HEAD};
use crate::model::policy::AsRule;

/// Why a runtime exception was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error(transparent)]
    Text(#[from] toml::ser::Error),
    #[error("{}", .0.render(false))]
    Config(#[from] ConfigErrors),
}

impl Config {
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
