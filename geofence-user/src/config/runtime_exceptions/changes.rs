//! One exception granted, extended or taken back, in a configuration and in the text that keeps them.
//!
//! Where there are very many, to read or write them all again takes longer than anybody wants to wait for one. So only
//! the one is read and written, and what comes of it is what would be read anew.

use std::sync::Arc;

use super::{Grant, HEAD, print};
use crate::config::{Config, ConfigErrors};
use crate::model::policy::SystemRule;
use crate::model::units::UnixSeconds;

/// Why one was not granted.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    #[error(transparent)]
    Text(#[from] toml::ser::Error),
    #[error("{}", .0.render(false))]
    Config(#[from] ConfigErrors),
}

impl Config {
    /// Adds one that is granted to those it has, and to the text that keeps them; answers with that text. Where there
    /// are very many, to read them all again takes longer than anybody wants to wait for one.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn grant(
        mut self,
        grant: &Grant,
        mut text: String,
        file_name: &str,
    ) -> Result<(Self, String), GrantError> {
        let own = Grant::to_text(std::slice::from_ref(grant))?;
        let is_taken = self.policy.exceptions.iter().any(|one| one.id == grant.id)
            && self.held().all(|id| id != grant.id);
        let taken = is_taken.then(|| grant.id.clone());
        self.own_names = taken.into_iter().collect();
        let mut read = self.with_more(&own, file_name)?;
        let entry = own.strip_prefix(HEAD).unwrap_or(&own);
        if text.is_empty() {
            text.push_str(HEAD);
        }
        while !text.ends_with("\n\n") {
            text.push('\n');
        }
        text.push_str(entry);
        read.granted_print = Some(print(&text));
        Ok((read, text))
    }

    /// Moves the end of one that is granted, and answers with the text that keeps them all as `grant` does.
    ///
    /// # Errors
    /// When the time is none.
    pub fn extend(
        mut self,
        at: usize,
        until: &str,
        text: &str,
    ) -> Result<(Self, String), GrantError> {
        let granted = Arc::make_mut(&mut self.granted[at]);
        let before = granted.grant.clone();
        granted.grant.until = Some(until.to_owned());
        let after = granted.grant.clone();
        let moment = after.check_until(UnixSeconds(0))?;
        if !granted.is_idle() {
            let held = self.policy.exceptions.iter_mut();
            for one in held.filter(|one| one.id == after.id) {
                Arc::make_mut(one).until = moment;
            }
        }
        let text = self.rewritten(text, &before, Some(&after))?;
        Ok((self, text))
    }

    /// Takes one back that is granted, and answers with the text that keeps the others as `grant` does.
    ///
    /// # Errors
    /// None that anybody has seen.
    pub fn take_back(mut self, at: usize, text: &str) -> Result<(Self, String), GrantError> {
        let granted = self.granted.remove(at);
        let id = &granted.grant.id;
        if !granted.is_idle() {
            self.policy.exceptions.retain(|one| one.id != *id);
            self.systems
                .retain(|mention| !matches!(&mention.rule, SystemRule::Exception(of) if of == id));
        }
        let text = self.rewritten(text, &granted.grant, None)?;
        Ok((self, text))
    }

    /// The text with an entry changed or left out. Where somebody has written it otherwise than `grant` does, all are
    /// written anew.
    fn rewritten(
        &mut self,
        text: &str,
        before: &Grant,
        after: Option<&Grant>,
    ) -> Result<String, toml::ser::Error> {
        let text = match replaced(text, before, after)? {
            Some(text) => text,
            None => {
                let grants: Vec<Grant> = self.granted.iter().map(|one| one.grant.clone()).collect();
                Grant::to_text(&grants)?
            }
        };
        self.granted_print = Some(print(&text));
        Ok(text)
    }
}

/// A text that keeps granted exceptions with another entry in place of one, or with none; nothing if the entry is not
/// there as it would be written.
fn replaced(
    text: &str,
    before: &Grant,
    after: Option<&Grant>,
) -> Result<Option<String>, toml::ser::Error> {
    let entry = |grant: &Grant| -> Result<String, toml::ser::Error> {
        let text = Grant::to_text(std::slice::from_ref(grant))?;
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{config, grant};
    use super::*;

    /// One of a few that may be granted: some do not hold, and one has the prefix of another's name.
    fn any_grant() -> impl Strategy<Value = Grant> {
        let id = prop::sample::select(vec!["x-1", "x-11", "y", "standing"]);
        let to = prop::sample::select(vec!["any", "customer-17", "customer-18", "203.0.113.9"]);
        let until = prop::sample::select(vec![None, Some("2099-03-31"), Some("2020-01-01")]);
        let reason = prop::sample::select(vec!["r", "[[exception]]", "a \"b\" 'c' \\"]);
        (id, to, until, reason, any::<bool>()).prop_map(|(id, to, until, reason, has_service)| {
            Grant {
                id: id.into(),
                from: vec!["5.136.0.77".into()],
                to: vec![to.into()],
                services: has_service.then(|| "tcp/443".into()).into_iter().collect(),
                owner: "noc".into(),
                reason: reason.into(),
                until: until.map(Into::into),
            }
        })
    }

    #[derive(Clone, Debug)]
    enum Step {
        Add(Grant),
        Extend(usize, &'static str),
        TakeBack(usize),
    }

    fn any_step() -> impl Strategy<Value = Step> {
        let until = prop::sample::select(vec!["2098-01-01", "2099-01-01T12:00:00Z"]);
        prop_oneof![
            any_grant().prop_map(Step::Add),
            (any::<usize>(), until).prop_map(|(at, until)| Step::Extend(at, until)),
            any::<usize>().prop_map(Step::TakeBack),
        ]
    }

    proptest! {
        /// Whatever is changed one by one, policy and text are those of somebody who reads all of it anew.
        #[test]
        fn changes_come_to_what_is_read_anew(
            first in prop::collection::vec(any_grant(), 0..4),
            comment: bool,
            steps in prop::collection::vec(any_step(), 1..8),
        ) {
            let mut grants: Vec<Grant> = Vec::new();
            for grant in first {
                if grants.iter().all(|one| one.id != grant.id) {
                    grants.push(grant);
                }
            }
            let mut text = Grant::to_text(&grants).unwrap();
            if comment {
                text = text.replace("owner = \"noc\"", "owner = \"noc\" # day and night");
            }
            let mut config = super::super::tests::config().with_granted(&text, "exceptions.toml").unwrap();
            for step in steps {
                let before = config.policy.clone();
                let count = grants.len();
                let changed = match step {
                    Step::Add(grant) if grants.iter().all(|one| one.id != grant.id) => {
                        grants.push(grant.clone());
                        config.grant(&grant, text, "exceptions.toml")
                    }
                    Step::Extend(at, until) if count > 0 => {
                        grants[at % count].until = Some(until.into());
                        config.extend(at % count, until, &text)
                    }
                    Step::TakeBack(at) if count > 0 => {
                        grants.remove(at % count);
                        config.take_back(at % count, &text)
                    }
                    Step::Add(_) | Step::Extend(..) | Step::TakeBack(_) => continue,
                };
                (config, text) = changed.unwrap();
                prop_assert!(config.has_granted(&text));
                let words = Grant::to_text(&grants).unwrap();
                // A comment stays as long as nothing forces the text to be written anew.
                prop_assert!(text == words || comment && text.contains(" # "));
                let mut read = super::super::tests::config().with_granted(&text, "exceptions.toml").unwrap();
                read.policy.keep_numbers(&before);
                config.policy.keep_numbers(&before);
                prop_assert_eq!(&config, &read);
                let granted: Vec<_> = config.granted.iter().map(|one| one.grant.clone()).collect();
                prop_assert_eq!(&granted, &grants);
            }
        }
    }

    #[test]
    fn an_entry_that_somebody_has_rewritten_is_changed_as_well() {
        let two = ["x-1", "x-2"].map(|id| Grant {
            id: id.into(),
            ..grant()
        });
        let text = Grant::to_text(&two).unwrap().replace("id = ", "id   = ");
        let config = config().with_granted(&text, "exceptions.toml").unwrap();
        let (config, text) = config.take_back(0, &text).unwrap();
        assert_eq!(text, Grant::to_text(&two[1..]).unwrap());
        let (_, text) = config.take_back(0, &text).unwrap();
        assert_eq!(text, HEAD);
    }
}
