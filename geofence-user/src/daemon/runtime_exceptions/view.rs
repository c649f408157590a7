//! Exceptions as they are shown: the words of each, its state, and what the kernel has counted.
//!
//! There may be a hundred thousand. Each is written into the answer before the next is looked at, so that the daemon
//! does not need memory for all of them once more.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use geofence_common::maps::Hits;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::change::not_found;
use crate::config::{Config, ExceptionSpec, RuntimeException};
use crate::daemon::state::Daemon;
use crate::daemon::sync::{lock, run_blocking};
use crate::model::failure::{Cause, Failure};
use crate::model::units::UnixSeconds;
use crate::os::clock::boot_now;

/// An exception as it is shown; of a removed one, only its words.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExceptionView {
    #[serde(flatten, serialize_with = "ExceptionSpec::serialize_whole")]
    pub spec: ExceptionSpec,
    /// "live", "lapsed" (expired), or "idle" if the policy does without it.
    pub state: Cow<'static, str>,
    /// Why it is not in force, or only in part.
    pub note: Option<String>,
    /// Whether it is a runtime exception, and not one of the configuration.
    pub granted: bool,
    /// The file that it is in, if there is one.
    pub file: Option<String>,
    /// Its number in the kernel's table; none if it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot: Option<u32>,
    /// How many packets it has let pass.
    pub hits: u64,
    /// When the last of them passed.
    pub last_hit: Option<String>,
    /// The recorded changes, if one exception was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<Vec<Value>>,
}

impl Daemon {
    /// Every exception, or every ban, or one of either, as `{"exceptions":[...]}`.
    ///
    /// # Errors
    /// When no exception has the name, or the kernel's counters cannot be read.
    pub async fn exceptions(
        self: &Arc<Self>,
        id: Option<String>,
        are_bans: bool,
    ) -> Result<Box<RawValue>, Failure> {
        let daemon = Arc::clone(self);
        run_blocking(move || daemon.write_exceptions(id.as_deref(), are_bans)).await
    }

    fn write_exceptions(&self, id: Option<&str>, are_bans: bool) -> Result<Box<RawValue>, Failure> {
        const START: &str = "{\"exceptions\":[";
        let config = Arc::clone(&lock(&self.active).config);
        let mut text = START.to_owned();
        let internal = |error| Failure::new(Cause::Internal, error);
        self.show_exceptions(&config, id, |view| {
            if id.is_none() && view.spec.is_ban() != are_bans {
                return Ok(());
            }
            if text.len() > START.len() {
                text.push(',');
            }
            text.push_str(&serde_json::to_string(view).map_err(internal)?);
            Ok(())
        })?;
        if let (START, Some(id)) = (text.as_str(), id) {
            return Err(not_found(&config, &self.source, id));
        }
        text.push_str("]}");
        RawValue::from_string(text).map_err(internal)
    }

    /// The exception of this name.
    pub(super) fn exception(&self, id: &str) -> Result<Option<ExceptionView>, Failure> {
        let config = Arc::clone(&lock(&self.active).config);
        let mut found = None;
        self.show_exceptions(&config, Some(id), |view| {
            found.get_or_insert_with(|| view.clone());
            Ok(())
        })?;
        Ok(found)
    }

    /// Shows every exception of a configuration, or those of a name, one after the other.
    fn show_exceptions(
        &self,
        config: &Config,
        id: Option<&str>,
        mut show: impl FnMut(&ExceptionView) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let is_asked = |one: &str| id.is_none_or(|id| one == id);
        let runtime = config.runtime.list.iter().map(Arc::as_ref);
        let runtime = runtime.filter(|one| is_asked(&one.spec.id));
        let in_force = runtime.clone().filter(|one| !one.is_idle());
        let in_force: HashMap<&str, &RuntimeException> =
            in_force.map(|one| (one.spec.id.as_str(), one)).collect();
        let all_hits = match id {
            None => lock(&self.filter).hits()?,
            Some(_) => Vec::new(),
        };
        let boot = boot_now().map_err(|error| Failure::new(Cause::Kernel, error))?;
        // An exception expires by the clock that the kernel's image was made with.
        let now = self.kernel_time();
        let changes = id.map(|id| self.exception_store.changes(id));
        let exceptions = config.policy.exceptions.iter();
        for exception in exceptions.filter(|one| is_asked(&one.id)) {
            let runtime = in_force.get(exception.id.as_str()).copied();
            let spec = runtime.map_or_else(
                || ExceptionSpec::of(exception, &config.policy, &config.as_mentions),
                |one| one.spec.clone(),
            );
            let hits = match id {
                None => all_hits.get(exception.slot as usize).copied(),
                Some(_) => Some(lock(&self.filter).hits_of(exception.slot)?),
            };
            show(&ExceptionView {
                slot: Some(exception.slot),
                changes: changes.clone(),
                ..self
                    .view(spec, (exception.until, now), runtime)
                    .with_hits(hits.unwrap_or_default(), boot)
            })?;
        }
        for exception in runtime.filter(|one| one.is_idle()) {
            let until = exception.spec.expiry().unwrap_or_default();
            show(&ExceptionView {
                changes: changes.clone(),
                ..self.view(exception.spec.clone(), (until, now), Some(exception))
            })?;
        }
        Ok(())
    }

    fn view(
        &self,
        spec: ExceptionSpec,
        (until, now): (Option<UnixSeconds>, UnixSeconds),
        runtime: Option<&RuntimeException>,
    ) -> ExceptionView {
        let state = if runtime.is_some_and(RuntimeException::is_idle) {
            "idle"
        } else if until.is_some_and(|until| until <= now) {
            "lapsed"
        } else {
            "live"
        };
        let file = match runtime {
            Some(_) => Some(self.exception_store.file()),
            None => self.source.file.as_deref(),
        };
        ExceptionView {
            spec: ExceptionSpec {
                until: until.map(|until| until.to_string()),
                ..spec
            },
            state: state.into(),
            note: runtime.and_then(RuntimeException::note),
            granted: runtime.is_some(),
            file: file.map(|file| file.display().to_string()),
            ..ExceptionView::default()
        }
    }
}

impl ExceptionView {
    /// With what the kernel has counted, read at this time since boot.
    fn with_hits(self, hits: Hits, boot: u64) -> Self {
        let ago = Duration::from_nanos(boot.saturating_sub(hits.last));
        let last = (hits.packets != 0).then(|| UnixSeconds::now().minus(ago).to_string());
        Self {
            hits: hits.packets,
            last_hit: last,
            ..self
        }
    }
}

/// How many exceptions and bans are live at this time of the kernel's, which exceptions expire soon, and which runtime
/// exceptions are not fully in force.
pub(in crate::daemon) fn summary(config: &Config, now: UnixSeconds) -> Value {
    let expiring = config.policy.expiring_exceptions(now).map(|one| {
        let until = one.until.map(|until| until.to_string());
        json!({ "id": one.id, "until": until, "owner": one.owner })
    });
    let noted = config.runtime.list.iter().filter_map(|one| {
        Some(json!({ "id": one.spec.id, "holds": !one.is_idle(), "note": one.note()? }))
    });
    json!({
        "live": config.policy.live_exceptions(now).count(),
        "bans": config.policy.live_bans(now).count(),
        "lapsing": expiring.collect::<Vec<_>>(),
        "noted": noted.collect::<Vec<_>>(),
    })
}
