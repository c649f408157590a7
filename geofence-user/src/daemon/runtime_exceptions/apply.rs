//! Changes of runtime exceptions, made effective at once beside the active configuration.
//!
//! The file of the store is read again for each change, because it is authoritative. A change is compiled and checked,
//! then recorded in the audit log, then written to the file, then activated. Whenever this process dies, the next one
//! filters by what the file says, and nothing has changed without a record.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tracing::{error, info, warn};

use super::audit_log::{AuditEntry, Caller};
use super::change::Change;
use super::refusal::{not_found, of_configuration, refuse, refuse_name_of_ban, refuse_taken_name};
use crate::config::{Config, ExceptionSpec};
use crate::daemon::candidate::Candidate;
use crate::daemon::state::Daemon;
use crate::daemon::sync::{lock, run_blocking};
use crate::model::failure::{Cause, Failure};
use crate::model::units::UnixSeconds;
use crate::os::clock::Offset;
use crate::os::memory;
use crate::os::restart;

/// A change that has passed every check without the kernel.
struct Plan {
    /// The change asked for, with a name in any case.
    change: Change,
    /// The exception after the change, or before it is removed.
    spec: ExceptionSpec,
    /// The new text of the file.
    text: String,
    candidate: Candidate,
}

/// A configuration with a runtime exception changed, that exception, its position unless it was removed, and the new
/// text of the file.
type Changed = (Config, ExceptionSpec, usize, String);

impl Daemon {
    /// Adds, extends or removes a runtime exception; returns the image's generation and the exception. `lasts` says
    /// that its end is so long from now, whatever the wall clock says then.
    ///
    /// # Errors
    /// Why nothing changed.
    pub async fn change_exceptions(
        self: &Arc<Self>,
        change: Change,
        lasts: Option<Duration>,
        caller: Caller,
    ) -> Result<Value, Failure> {
        let _change = self.change.lock().await;
        let requested = change.clone();
        let result = self.attempt_change(change, caller).await;
        memory::give_back();
        if let Ok(done) = &result
            && let Some(id) = done["exception"]["id"].as_str()
        {
            lock(&self.promises).record(id, lasts);
        }
        if let Err(failure) = &result {
            let (verb, id) = (requested.verb(), requested.id());
            warn!("{verb} {id}: refused: {failure}");
            let spec = match &requested {
                Change::Add(spec) | Change::Ban { ban: spec, .. } => Some(spec),
                Change::Extend { .. } | Change::Remove { .. } => None,
            };
            let entry = AuditEntry {
                id,
                result: "refused",
                error: Some(&failure.text),
                ..entry(&requested, spec, caller)
            };
            if let Err(failure) = self.record(&entry) {
                warn!("{failure}");
            }
        }
        result
    }

    async fn attempt_change(
        self: &Arc<Self>,
        change: Change,
        caller: Caller,
    ) -> Result<Value, Failure> {
        self.refuse_on_trial()?;
        let lockout_options = change.lockout_options();
        let daemon = Arc::clone(self);
        let mut plan = run_blocking(move || daemon.plan(change)).await?;
        if let Some(options) = lockout_options {
            plan.candidate = self.check_lockout(plan.candidate, options).await?;
        }
        let daemon = Arc::clone(self);
        run_blocking(move || daemon.carry_out(plan, caller)).await
    }

    /// Does everything that can fail without the kernel.
    fn plan(&self, mut change: Change) -> Result<Plan, Failure> {
        let active = lock(&self.active).clone();
        let (config, text) = self
            .exception_store
            .add_with_text((*active.config).clone())?;
        let (config, spec, at, text) = match &mut change {
            Change::Add(spec) => self.added(config, text, spec)?,
            Change::Ban { ban, .. } => self.banned(config, text, ban)?,
            Change::Extend { id, until } => self.extended(config, &text, id, until)?,
            Change::Remove { id, .. } => self.removed(config, &text, id)?,
        };
        let room = lock(&self.filter).options().exceptions as usize;
        if config.policy.exceptions.len() + config.policy.protections.len() > room {
            let text = format!(
                "the running filter has room for {room} exceptions and protections. For a larger table, restart \
                 geofence with {}, which leaves no gap",
                restart::how()
            );
            return Err(Failure::new(Cause::Restart, text));
        }
        let candidate = self.prepare(config, &active, false)?;
        let exception = candidate.config.runtime.list.get(at);
        if let (Change::Add(_), Some(exception)) = (&change, exception)
            && !exception.unknown_systems.is_empty()
        {
            return Err(refuse(exception.unknown_systems.join("\n")));
        }
        Ok(Plan {
            change,
            spec,
            text,
            candidate,
        })
    }

    fn added(
        &self,
        config: Config,
        text: String,
        spec: &mut ExceptionSpec,
    ) -> Result<Changed, Failure> {
        if spec.id.is_empty() {
            spec.id = free_name(&config);
        }
        refuse_name_of_ban(spec)?;
        refuse_taken_name(&config, &self.source, &spec.id)?;
        spec.check(&config, UnixSeconds::now())
            .map_err(|errors| refuse(errors.render(false)))?;
        let at = config.runtime.list.len();
        let name = self.exception_store.file().display().to_string();
        let (config, text) = config
            .add_runtime_exception(spec, text, &name)
            .map_err(internal)?;
        Ok((config, spec.clone(), at, text))
    }

    /// A ban that is there already lasts until the time that was asked for now.
    fn banned(
        &self,
        config: Config,
        text: String,
        ban: &mut ExceptionSpec,
    ) -> Result<Changed, Failure> {
        if !ban.is_ban() {
            return Err(refuse("a ban has the action \"drop\""));
        }
        let (config, text) = self.without_old_bans(config, text, &ban.id)?;
        let mut known = config.runtime.list.iter();
        match (&ban.until, known.find(|one| one.spec.id == ban.id)) {
            (Some(until), Some(known)) if known.spec.is_ban() => {
                self.extended(config, &text, &ban.id, until)
            }
            _ => self.added(config, text, ban),
        }
    }

    /// Takes the bans away that have expired, but for one: there would be more and more.
    fn without_old_bans(
        &self,
        mut config: Config,
        mut text: String,
        but: &str,
    ) -> Result<(Config, String), Failure> {
        let now = self.kernel_time();
        loop {
            let is_old = |one: &ExceptionSpec| {
                let until = one.expiry().unwrap_or_default();
                one.is_ban() && one.id != but && until.is_some_and(|until| until <= now)
            };
            let mut all = config.runtime.list.iter();
            let Some(at) = all.position(|one| is_old(&one.spec)) else {
                return Ok((config, text));
            };
            (config, text) = config
                .remove_runtime_exception(at, &text)
                .map_err(internal)?;
        }
    }

    fn extended(
        &self,
        config: Config,
        text: &str,
        id: &str,
        until: &str,
    ) -> Result<Changed, Failure> {
        let at = self.position(&config, id)?;
        let exception = &config.runtime.list[at];
        if exception.is_shadowed {
            return Err(of_configuration(&self.source, id));
        }
        let mut spec = exception.spec.clone();
        spec.until = Some(until.to_owned());
        spec.check_until(UnixSeconds::now())
            .map_err(|errors| refuse(errors.render(false)))?;
        let (config, text) = config
            .extend_runtime_exception(at, until, text)
            .map_err(internal)?;
        Ok((config, spec, at, text))
    }

    fn removed(&self, config: Config, text: &str, id: &str) -> Result<Changed, Failure> {
        let at = self.position(&config, id)?;
        let spec = config.runtime.list[at].spec.clone();
        let (config, text) = config
            .remove_runtime_exception(at, text)
            .map_err(internal)?;
        Ok((config, spec, at, text))
    }

    fn position(&self, config: &Config, id: &str) -> Result<usize, Failure> {
        let mut exceptions = config.runtime.list.iter();
        let at = exceptions.position(|one| one.spec.id == id);
        at.ok_or_else(|| not_found(config, &self.source, id))
    }

    fn carry_out(&self, plan: Plan, caller: Caller) -> Result<Value, Failure> {
        let Plan {
            change,
            spec,
            text,
            candidate,
        } = plan;
        let record = self.record(&entry(&change, Some(&spec), caller))?;
        let store = &self.exception_store;
        let before = store.text().unwrap_or_default();
        let written = store.write(&text).map_err(internal);
        let generation = match written.and_then(|()| self.activate(candidate)) {
            Ok(generation) => generation,
            Err(failure) => {
                if let Err(error) = store.retract(record) {
                    error!("{error}: it records the change as done, and the change was refused");
                }
                if let Err(error) = store.write(&before) {
                    error!(
                        "{error}: the next start or reload will apply the change that was refused now"
                    );
                }
                return Err(failure);
            }
        };
        info!(
            "{} {}: done for {}, owner {}, reason {}, until {}; image {generation} is active",
            change.verb(),
            spec.id,
            caller.name(),
            spec.owner,
            change.reason().unwrap_or(&spec.reason),
            spec.until.as_deref().unwrap_or("it is removed")
        );
        let view = match &change {
            Change::Add(_) | Change::Ban { .. } | Change::Extend { .. } => self.exception(&spec.id),
            Change::Remove { .. } => Ok(None),
        };
        let exception = match view {
            Ok(Some(view)) => json!(view),
            Ok(None) => json!(spec),
            // The exception is in force, even if its counters cannot be read for the answer.
            Err(failure) => {
                let id = &spec.id;
                warn!("{id} is in force; cannot read how many packets it has let pass: {failure}");
                json!(spec)
            }
        };
        Ok(json!({ "generation": generation, "exception": exception }))
    }

    /// Writes the ends of exceptions that were added for a duration by the wall clock as it is now. The caller reloads.
    pub(in crate::daemon) fn keep_promises(&self) -> Result<(), Failure> {
        let promises = lock(&self.promises).clone();
        if promises.iter().next().is_none() {
            return Ok(());
        }
        let offset = Offset::now().map_err(internal)?;
        let config = (*lock(&self.active).config).clone();
        let (mut config, mut text) = self.exception_store.add_with_text(config)?;
        let reason = "the wall clock was set; it lasts as long as it was added for";
        let mut records = Vec::new();
        for (id, end) in promises.iter() {
            let mut all = config.runtime.list.iter();
            let Some(at) = all.position(|one| one.spec.id == *id) else {
                continue;
            };
            let until = offset.wall_at(end).to_string();
            let changed = config.extend_runtime_exception(at, &until, &text);
            (config, text) = changed.map_err(internal)?;
            let entry = AuditEntry {
                time: UnixSeconds::now(),
                caller: Caller::this_process(),
                verb: "exception extend",
                id,
                exception: config.runtime.list.get(at).map(|one| &one.spec),
                reason: Some(reason),
                result: "done",
                error: None,
            };
            let recorded = self.exception_store.record(&entry);
            records.push(recorded.map_err(internal)?);
        }
        let written = self.exception_store.write(&text);
        if written.is_err() {
            for record in records {
                if let Err(error) = self.exception_store.retract(record) {
                    error!("{error}: it records the change as done, and it was not made");
                }
            }
        }
        written.map_err(internal)
    }

    fn record(&self, entry: &AuditEntry<'_>) -> Result<u64, Failure> {
        self.exception_store.record(entry).map_err(|error| {
            internal(format!(
                "cannot record the change in the audit log, so nothing changes: {error}"
            ))
        })
    }
}

/// The audit entry of a change that is done.
fn entry<'a>(
    change: &'a Change,
    exception: Option<&'a ExceptionSpec>,
    caller: Caller,
) -> AuditEntry<'a> {
    AuditEntry {
        time: UnixSeconds::now(),
        caller,
        verb: change.verb(),
        id: exception.map_or(change.id(), |one| &one.id),
        exception,
        reason: change.reason(),
        result: "done",
        error: None,
    }
}

/// A name that no exception has.
fn free_name(config: &Config) -> String {
    let own = config.policy.exceptions.iter().map(|one| one.id.as_str());
    let runtime = config.runtime.list.iter().map(|one| one.spec.id.as_str());
    let alike = own.chain(runtime).filter(|name| name.starts_with("x-"));
    let taken: HashSet<&str> = alike.collect();
    let mut names = (1..).map(|number: u64| format!("x-{number}"));
    names
        .find(|name| !taken.contains(name.as_str()))
        .unwrap_or_default()
}

fn internal(error: impl ToString) -> Failure {
    Failure::new(Cause::Internal, error)
}
