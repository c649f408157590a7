//! Changes of runtime exceptions, made effective at once beside the active configuration.
//!
//! The file of the store is read again for each change, because it is authoritative. A change is compiled and checked,
//! then recorded in the audit log, then written to the file, then activated. Whenever this process dies, the next one
//! filters by what the file says, and nothing has changed without a record. Changes that come together are compiled
//! once, and in halves if one of them is refused.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tracing::{error, info, warn};

use super::audit_log::{AuditEntry, Caller};
use super::change::{Change, internal, lockout_options, refuse};
use crate::config::ExceptionSpec;
use crate::daemon::candidate::Candidate;
use crate::daemon::state::Daemon;
use crate::daemon::sync::{lock, run_blocking};
use crate::model::failure::{Cause, Failure};
use crate::model::units::UnixSeconds;
use crate::os::clock::Offset;
use crate::os::memory;
use crate::os::restart;

/// A change, and the exception as it is after the change or was before its removal.
struct Edit {
    /// With a name in any case.
    change: Change,
    spec: ExceptionSpec,
}

/// How many changes may come together. If each of them is refused, almost twice as many images are compiled.
pub const CHANGES_MAX: usize = 100;

/// Changes that have passed every check without the kernel.
struct Plan {
    edits: Vec<Edit>,
    /// The new text of the file.
    text: String,
    candidate: Candidate,
}

/// What became of changes that came together.
#[derive(Default)]
struct Outcome {
    made: Vec<Edit>,
    refused: Vec<(Change, Failure)>,
    /// The image that the last of them made active.
    generation: Option<u32>,
}

impl Daemon {
    /// Adds, extends or removes a runtime exception; returns the image's generation and the exception. `lasts` says
    /// that its end is so long from now, whatever the wall clock says then.
    ///
    /// # Errors
    /// Why nothing changed.
    pub async fn change_exception(
        self: &Arc<Self>,
        change: Change,
        lasts: Option<Duration>,
        caller: Caller,
    ) -> Result<Value, Failure> {
        let _change = self.change.lock().await;
        let mut outcome = self.change_all(vec![change], caller).await;
        if let Some((_, failure)) = outcome.refused.pop() {
            return Err(failure);
        }
        let Some(edit) = outcome.made.pop() else {
            return Err(internal("the change was neither made nor refused"));
        };
        lock(&self.promises).record(&edit.spec.id, lasts);
        let daemon = Arc::clone(self);
        let exception = run_blocking(move || Ok(daemon.view_after(&edit))).await?;
        Ok(json!({ "generation": outcome.generation, "exception": exception }))
    }

    /// The exception of a change for the answer.
    fn view_after(&self, Edit { change, spec }: &Edit) -> Value {
        let view = match change {
            Change::Add(_) | Change::Ban { .. } | Change::Extend { .. } => self.exception(&spec.id),
            Change::Remove { .. } => Ok(None),
        };
        match view {
            Ok(Some(view)) => json!(view),
            Ok(None) => json!(spec),
            // The exception is in force, even if its counters cannot be read for the answer.
            Err(failure) => {
                let id = &spec.id;
                warn!("{id} is in force; cannot read how many packets it has let pass: {failure}");
                json!(spec)
            }
        }
    }

    /// Makes many changes, in order, with as few images as possible; returns the generation of the last image, and
    /// those that were refused. One that is refused does not stop the others.
    ///
    /// # Errors
    /// Why none of them was tried.
    pub async fn change_exceptions(
        self: &Arc<Self>,
        changes: Vec<Change>,
        caller: Caller,
    ) -> Result<Value, Failure> {
        if !(1..=CHANGES_MAX).contains(&changes.len()) {
            return Err(refuse(format!(
                "one request has 1 to {CHANGES_MAX} changes, and this one has {}",
                changes.len()
            )));
        }
        let _change = self.change.lock().await;
        self.refuse_on_trial()?;
        let Outcome {
            made,
            refused,
            generation,
        } = self.change_all(changes, caller).await;
        for edit in made {
            lock(&self.promises).record(&edit.spec.id, None);
        }
        let refused = refused.iter().map(|(change, failure)| {
            json!({ "id": change.id(), "cause": failure.cause.name(), "error": failure.text })
        });
        let refused: Vec<_> = refused.collect();
        Ok(json!({ "generation": generation, "refused": refused }))
    }

    async fn change_all(self: &Arc<Self>, changes: Vec<Change>, caller: Caller) -> Outcome {
        let mut outcome = Outcome::default();
        // What is still to be made, the next group last.
        let mut groups = vec![changes];
        while let Some(mut group) = groups.pop() {
            let failure = match self.attempt_changes(group.clone(), caller).await {
                Ok((edits, generation)) => {
                    outcome.made.extend(edits);
                    outcome.generation = Some(generation);
                    continue;
                }
                Err(failure) => failure,
            };
            let is_about_a_change = is_about_a_change(failure.cause);
            if is_about_a_change && group.len() > 1 {
                let count = group.len();
                info!(
                    "one of {count} changes in a request was refused, so geofence tries each half: {failure}"
                );
                let others = group.split_off(count / 2);
                groups.extend([others, group]);
                continue;
            }
            if !is_about_a_change {
                group.extend(groups.drain(..).rev().flatten());
            }
            self.note_refusals(&group, &failure, caller);
            let refused = group.into_iter().map(|change| (change, failure.clone()));
            outcome.refused.extend(refused);
        }
        memory::give_back();
        outcome
    }

    /// Logs and records that changes were refused.
    fn note_refusals(&self, changes: &[Change], failure: &Failure, caller: Caller) {
        let entries = changes.iter().map(|change| {
            let id = change.id();
            warn!("{} {id}: refused: {failure}", change.verb());
            let spec = match change {
                Change::Add(spec) | Change::Ban { ban: spec, .. } => Some(spec),
                Change::Extend { .. } | Change::Remove { .. } => None,
            };
            AuditEntry {
                id,
                result: "refused",
                error: Some(&failure.text),
                ..entry(change, spec, caller)
            }
        });
        if let Err(failure) = self.record(&entries.collect::<Vec<_>>()) {
            warn!("{failure}");
        }
    }

    /// Makes all these changes, or none; returns them and the image's generation.
    async fn attempt_changes(
        self: &Arc<Self>,
        changes: Vec<Change>,
        caller: Caller,
    ) -> Result<(Vec<Edit>, u32), Failure> {
        self.refuse_on_trial()?;
        let options = lockout_options(&changes);
        let daemon = Arc::clone(self);
        let mut plan = run_blocking(move || daemon.plan(changes)).await?;
        if let Some(options) = options {
            plan.candidate = self.check_lockout(plan.candidate, options).await?;
        }
        let daemon = Arc::clone(self);
        run_blocking(move || daemon.carry_out(plan, caller)).await
    }

    /// Does everything that can fail without the kernel.
    fn plan(&self, changes: Vec<Change>) -> Result<Plan, Failure> {
        let active = lock(&self.active).clone();
        let (mut config, mut text) = self
            .exception_store
            .add_with_text((*active.config).clone())?;
        let mut edits = Vec::with_capacity(changes.len());
        for mut change in changes {
            let spec;
            (config, spec, text) = self.edit(config, text, &mut change)?;
            edits.push(Edit { change, spec });
        }
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
        for Edit { change, spec } in &edits {
            let mut all = candidate.config.runtime.list.iter();
            let added = all.find(|one| matches!(change, Change::Add(_)) && one.spec.id == spec.id);
            if let Some(unknown) = added.map(|one| &one.unknown_systems)
                && !unknown.is_empty()
            {
                return Err(refuse(unknown.join("\n")));
            }
        }
        Ok(Plan {
            edits,
            text,
            candidate,
        })
    }

    fn carry_out(&self, plan: Plan, caller: Caller) -> Result<(Vec<Edit>, u32), Failure> {
        let Plan {
            edits,
            text,
            candidate,
        } = plan;
        let entries = edits.iter();
        let entries = entries.map(|Edit { change, spec }| entry(change, Some(spec), caller));
        let records = self.record(&entries.collect::<Vec<_>>())?;
        let store = &self.exception_store;
        let before = store.text().unwrap_or_default();
        let written = store.write(&text).map_err(internal);
        let generation = match written.and_then(|()| self.activate(candidate)) {
            Ok(generation) => generation,
            Err(failure) => {
                if let Err(error) = store.retract(records) {
                    error!("{error}. The audit log records refused changes as done");
                }
                if let Err(error) = store.write(&before) {
                    error!(
                        "{error}. The next start or reload will make the changes that were just refused"
                    );
                }
                return Err(failure);
            }
        };
        for Edit { change, spec } in &edits {
            info!(
                "{} {}: done for {}, owner {}, reason {}, until {}; image {generation} is active",
                change.verb(),
                spec.id,
                caller.name(),
                spec.owner,
                change.reason().unwrap_or(&spec.reason),
                spec.until.as_deref().unwrap_or("it is removed")
            );
        }
        Ok((edits, generation))
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
        let mut kept = Vec::new();
        for (id, end) in promises.iter() {
            let mut all = config.runtime.list.iter();
            let Some(at) = all.position(|one| one.spec.id == *id) else {
                continue;
            };
            let until = offset.wall_at(end).to_string();
            let changed = config.extend_runtime_exception(at, &until, &text);
            (config, text) = changed.map_err(internal)?;
            kept.push((id, config.runtime.list[at].spec.clone()));
        }
        let entries = kept.iter().map(|(id, spec)| AuditEntry {
            time: UnixSeconds::now(),
            caller: Caller::this_process(),
            verb: "exception extend",
            id,
            exception: Some(spec),
            reason: Some(reason),
            result: "done",
            error: None,
        });
        let records = self.record(&entries.collect::<Vec<_>>())?;
        let written = self.exception_store.write(&text);
        if written.is_err()
            && let Err(error) = self.exception_store.retract(records)
        {
            error!("{error}. The audit log records changes as done that were not made");
        }
        written.map_err(internal)
    }

    fn record(&self, entries: &[AuditEntry<'_>]) -> Result<u64, Failure> {
        self.exception_store.record(entries).map_err(|error| {
            internal(format!(
                "cannot record the change in the audit log, so nothing changes: {error}"
            ))
        })
    }
}

/// Whether a failure may be the fault of one change, so that others could still be made.
const fn is_about_a_change(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::Request | Cause::Lockout | Cause::Restart | Cause::Capacity
    )
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
