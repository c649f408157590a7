//! What is shown of exceptions: the words each was granted with, and what has become of it.
//!
//! There may be a hundred thousand. So each is written into the answer before the next is looked at, and the daemon
//! does not hold all of them once more while it filters.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use geofence_common::maps::Hits;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::state::Daemon;
use super::sync::{lock, run_blocking};
use crate::config::{Config, ExceptionSpec, RuntimeException};
use crate::model::failure::{Cause, Failure};
use crate::model::units::UnixSeconds;
use crate::os::clock::boot_now;

/// An exception as it is shown. The first fields are the words it was granted with, which are all that is told of one
/// taken back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shown {
    pub id: String,
    pub from: Vec<String>,
    pub to: Vec<String>,
    /// None for all traffic.
    pub services: Vec<String>,
    pub owner: String,
    pub reason: String,
    /// When it lapses, if it does.
    pub until: Option<String>,
    /// "live", "lapsed", or "idle" where the policy does without it.
    pub state: Cow<'static, str>,
    /// Why it does not hold, or not as granted.
    pub note: Option<String>,
    /// Whether it was granted by command, and not by the configuration.
    pub granted: bool,
    /// The file that it stands in, if it does in one.
    pub file: Option<String>,
    /// Its number in the kernel's table; none where it has no place there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot: Option<u32>,
    /// Packets that it has let pass, and when the last of them did.
    pub hits: u64,
    pub last_hit: Option<String>,
    /// Who changed it, where that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<Vec<Value>>,
}

impl Daemon {
    /// Every exception, or one, as `{"exceptions":[...]}`.
    ///
    /// # Errors
    /// When there is none of the name, or the kernel does not tell.
    pub async fn exceptions(
        self: &Arc<Self>,
        id: Option<String>,
    ) -> Result<Box<RawValue>, Failure> {
        let daemon = Arc::clone(self);
        run_blocking(move || daemon.write_exceptions(id.as_deref())).await
    }

    fn write_exceptions(&self, id: Option<&str>) -> Result<Box<RawValue>, Failure> {
        const START: &str = "{\"exceptions\":[";
        let config = Arc::clone(&lock(&self.active).config);
        let mut text = START.to_owned();
        self.show_exceptions(&config, id, |shown| {
            if text.len() > START.len() {
                text.push(',');
            }
            text.push_str(&serde_json::to_string(shown).map_err(internal)?);
            Ok(())
        })?;
        if let (START, Some(id)) = (text.as_str(), id) {
            return Err(self.not_granted(&config, id));
        }
        text.push_str("]}");
        RawValue::from_string(text).map_err(internal)
    }

    /// The exception of this name.
    pub(super) fn exception(&self, id: &str) -> Result<Option<Shown>, Failure> {
        let config = Arc::clone(&lock(&self.active).config);
        let mut found = None;
        self.show_exceptions(&config, Some(id), |shown| {
            found.get_or_insert_with(|| shown.clone());
            Ok(())
        })?;
        Ok(found)
    }

    /// Shows every exception of a configuration, or those of a name, one after the other.
    fn show_exceptions(
        &self,
        config: &Config,
        id: Option<&str>,
        mut show: impl FnMut(&Shown) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let is_asked = |one: &str| id.is_none_or(|id| one == id);
        let granted = config.runtime.list.iter().map(Arc::as_ref);
        let granted = granted.filter(|one| is_asked(&one.spec.id));
        let held = granted.clone().filter(|one| !one.is_idle());
        let held: HashMap<&str, &RuntimeException> =
            held.map(|one| (one.spec.id.as_str(), one)).collect();
        let of_all = match id {
            None => lock(&self.filter).hits().map_err(kernel)?,
            Some(_) => Vec::new(),
        };
        let boot = boot_now().map_err(kernel)?;
        let changes = id.map(|id| self.grants.changes(id));
        let exceptions = config.policy.exceptions.iter();
        for exception in exceptions.filter(|one| is_asked(&one.id)) {
            let granted = held.get(exception.id.as_str()).copied();
            let words = granted.map_or_else(
                || ExceptionSpec::of(exception, &config.policy, &config.as_mentions),
                |one| one.spec.clone(),
            );
            let hits = match id {
                None => of_all.get(exception.slot as usize).copied(),
                Some(_) => {
                    let hits = lock(&self.filter).hits_of(exception.slot);
                    Some(hits.map_err(kernel)?)
                }
            };
            let shown = self.shown(words, exception.until, granted);
            show(&Shown {
                slot: Some(exception.slot),
                changes: changes.clone(),
                ..shown.counted(hits.unwrap_or_default(), boot)
            })?;
        }
        for granted in granted.filter(|one| one.is_idle()) {
            let until = granted.spec.expiry().unwrap_or_default();
            show(&Shown {
                changes: changes.clone(),
                ..self.shown(granted.spec.clone(), until, Some(granted))
            })?;
        }
        Ok(())
    }

    fn shown(
        &self,
        words: ExceptionSpec,
        until: Option<UnixSeconds>,
        granted: Option<&RuntimeException>,
    ) -> Shown {
        let state = if granted.is_some_and(RuntimeException::is_idle) {
            "idle"
        } else if until.is_some_and(|until| until <= UnixSeconds::now()) {
            "lapsed"
        } else {
            "live"
        };
        let file = match granted {
            Some(_) => Some(self.grants.file()),
            None => self.source.file.as_deref(),
        };
        Shown {
            id: words.id,
            from: words.from,
            to: words.to,
            services: words.services,
            owner: words.owner,
            reason: words.reason,
            until: until.map(|until| until.to_string()),
            state: state.into(),
            note: granted.and_then(RuntimeException::note),
            granted: granted.is_some(),
            file: file.map(|file| file.display().to_string()),
            ..Shown::default()
        }
    }
}

impl Shown {
    /// With what the kernel has counted, at this moment since boot.
    fn counted(self, hits: Hits, boot: u64) -> Self {
        let ago = Duration::from_nanos(boot.saturating_sub(hits.last));
        let last = (hits.packets != 0).then(|| UnixSeconds::now().minus(ago).to_string());
        Self {
            hits: hits.packets,
            last_hit: last,
            ..self
        }
    }
}

fn kernel(error: impl Display) -> Failure {
    Failure::new(Cause::Kernel, error.to_string())
}

fn internal(error: impl Display) -> Failure {
    Failure::new(Cause::Internal, error.to_string())
}
