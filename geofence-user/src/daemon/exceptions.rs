//! Exceptions granted by command: in force within the moment, by the configuration in use.
//!
//! The file that keeps them is read anew for each change and has the truth. A change is compiled and checked first,
//! then put on record, then written to the file, then swapped in: whenever this process dies, what the file says is
//! what the next one filters by, and nothing has changed that is not on record.

use std::collections::HashSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tracing::{error, info, warn};

use super::reload::ReloadOptions;
use super::state::Daemon;
use super::sync::{lock, run_blocking};
use crate::checks::lockout::Dependency;
use crate::config::{Config, ExceptionSpec};
use crate::daemon::candidate::Candidate;
use crate::daemon::runtime_exceptions::{Caller, Entry};
use crate::model::failure::{Cause, Failure};
use crate::model::text::nearest;
use crate::model::units::UnixSeconds;
use crate::os::memory;

/// A change of what is granted by command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Change {
    /// One more; without a name, it is given one.
    Add(ExceptionSpec),
    Extend {
        id: String,
        until: String,
    },
    Remove {
        id: String,
        reason: Option<String>,
        #[serde(default)]
        force: bool,
        /// Whom the one who asks needs.
        #[serde(default)]
        needed: Vec<Dependency>,
    },
}

impl Change {
    const fn verb(&self) -> &'static str {
        match self {
            Self::Add(_) => "exception add",
            Self::Extend { .. } => "exception extend",
            Self::Remove { .. } => "exception remove",
        }
    }

    fn id(&self) -> &str {
        match self {
            Self::Add(ExceptionSpec { id, .. })
            | Self::Extend { id, .. }
            | Self::Remove { id, .. } => id,
        }
    }

    fn reason(&self) -> Option<&str> {
        match self {
            Self::Remove { reason, .. } => reason.as_deref(),
            Self::Add(_) | Self::Extend { .. } => None,
        }
    }

    /// What there is to think of where somebody may be cut off, which only who takes back can do.
    fn wishes(&self) -> Option<ReloadOptions> {
        match self {
            Self::Remove { force, needed, .. } => Some(ReloadOptions {
                force: *force,
                required_peers: needed.clone(),
            }),
            Self::Add(_) | Self::Extend { .. } => None,
        }
    }
}

/// A change that can be carried out.
struct Plan {
    /// What was asked, with a name in any case.
    change: Change,
    /// The exception as it will be, or was.
    grant: ExceptionSpec,
    /// The text of the file that keeps them.
    text: String,
    candidate: Candidate,
}

impl Daemon {
    /// Grants, extends or takes back an exception; answers with the image's number and the exception.
    ///
    /// # Errors
    /// Why all stays as it was.
    pub async fn change_exceptions(
        self: &Arc<Self>,
        change: Change,
        caller: Caller,
    ) -> Result<Value, Failure> {
        let _change = self.change.lock().await;
        let asked = change.clone();
        let result = self.attempt_change(change, caller).await;
        memory::give_back();
        if let Err(failure) = &result {
            warn!("{} {}: refused: {failure}", asked.verb(), asked.id());
            let exception = match &asked {
                Change::Add(grant) => Some(grant),
                Change::Extend { .. } | Change::Remove { .. } => None,
            };
            self.record(
                &asked,
                asked.id(),
                exception,
                caller,
                "refused",
                Some(&failure.text),
            )
            .unwrap_or_else(|failure| warn!("{failure}"));
        }
        result
    }

    async fn attempt_change(
        self: &Arc<Self>,
        change: Change,
        caller: Caller,
    ) -> Result<Value, Failure> {
        self.refuse_on_trial()?;
        let wishes = change.wishes();
        let daemon = Arc::clone(self);
        let plan = run_blocking(move || daemon.plan(change)).await?;
        if let Some(wishes) = wishes {
            self.check_lockout(&plan.candidate, wishes).await?;
        }
        let daemon = Arc::clone(self);
        run_blocking(move || daemon.carry_out(plan, caller)).await
    }

    /// Makes everything that can fail without the kernel.
    fn plan(&self, mut change: Change) -> Result<Plan, Failure> {
        let current = lock(&self.active).clone();
        let (config, text) = self.grants.add_with_text((*current.config).clone())?;
        let (mut config, grant, at, text) = match &mut change {
            Change::Add(grant) => {
                if grant.id.is_empty() {
                    grant.id = free_name(&config);
                }
                self.refuse_taken(&config, grant)?;
                grant
                    .check(&config, UnixSeconds::now())
                    .map_err(|errors| refusal(errors.render(false)))?;
                let (grant, at) = (grant.clone(), config.runtime.list.len());
                let name = self.grants.file().display().to_string();
                let (config, text) = config
                    .add_runtime_exception(&grant, text, &name)
                    .map_err(|error| Failure::new(Cause::Internal, error))?;
                (config, grant, at, text)
            }
            Change::Extend { .. } | Change::Remove { .. } => {
                self.amended(config, &text, &change)?
            }
        };
        let room = lock(&self.filter).options().exceptions as usize;
        if config.policy.exceptions.len() + config.policy.protections.len() > room {
            return Err(Failure::new(
                Cause::Restart,
                format!(
                    "this filter has room for {room} exceptions and protections; a restart of geofence makes more, and \
                     leaves no gap"
                ),
            ));
        }
        let new_numbers = config.policy.keep_numbers(&current.config.policy);
        let slot = lock(&self.filter).next_slot();
        let candidate = Candidate::prepare(
            config,
            Some(&current.image),
            current.kept.as_ref(),
            slot,
            false,
        )?;
        let candidate = Candidate {
            new_numbers,
            ..candidate
        };
        let granted = candidate.config.runtime.list.get(at);
        if let (Change::Add(_), Some(granted)) = (&change, granted)
            && !granted.unknown_systems.is_empty()
        {
            return Err(refusal(granted.unknown_systems.join("\n")));
        }
        Ok(Plan {
            change,
            grant,
            text,
            candidate,
        })
    }

    /// A configuration with one of the exceptions that it was granted changed; the exception, its place, and the text
    /// that keeps them all.
    fn amended(
        &self,
        config: Config,
        text: &str,
        change: &Change,
    ) -> Result<(Config, ExceptionSpec, usize, String), Failure> {
        let mut granted = config.runtime.list.iter();
        let at = granted.position(|one| one.spec.id == change.id());
        let at = at.ok_or_else(|| self.not_granted(&config, change.id()))?;
        let mut grant = config.runtime.list[at].spec.clone();
        let changed = match change {
            Change::Extend { until, .. } => {
                if config.runtime.list[at].is_shadowed {
                    return Err(self.of_the_configuration(change.id()));
                }
                grant.until = Some(until.clone());
                grant
                    .check_until(UnixSeconds::now())
                    .map_err(|errors| refusal(errors.render(false)))?;
                config.extend_runtime_exception(at, until, text)
            }
            Change::Add(_) | Change::Remove { .. } => config.remove_runtime_exception(at, text),
        };
        let (config, text) = changed.map_err(|error| Failure::new(Cause::Internal, error))?;
        Ok((config, grant, at, text))
    }

    fn carry_out(&self, plan: Plan, caller: Caller) -> Result<Value, Failure> {
        let Plan {
            change,
            grant,
            text,
            candidate,
        } = plan;
        let record = |result: &str, error: Option<&str>| {
            self.record(&change, &grant.id, Some(&grant), caller, result, error)
        };
        record("done", None)?;
        let before = self.grants.text().unwrap_or_default();
        let placed = self
            .grants
            .write(&text)
            .map_err(|error| Failure::new(Cause::Internal, error))
            .and_then(|()| self.activate(candidate));
        let generation = match placed {
            Ok(generation) => generation,
            Err(failure) => {
                if let Err(undone) = self.grants.write(&before) {
                    error!("{undone}: the next start or reload goes by the exceptions refused now");
                }
                return Err(failure);
            }
        };
        info!(
            "{} {}: done for {}, owner {}, reason {}, until {}; image {generation} is in place",
            change.verb(),
            grant.id,
            caller.name(),
            grant.owner,
            change.reason().unwrap_or(&grant.reason),
            grant.until.as_deref().unwrap_or("it is removed")
        );
        let shown = match &change {
            Change::Add(_) | Change::Extend { .. } => self.exception(&grant.id),
            Change::Remove { .. } => Ok(None),
        };
        let exception = match shown {
            Ok(Some(shown)) => json!(shown),
            Ok(None) => json!(grant),
            // What is in force stays so, also where it cannot be looked at for the answer.
            Err(failure) => {
                warn!(
                    "{} is in force; what it has let in is not known: {failure}",
                    grant.id
                );
                json!(grant)
            }
        };
        Ok(json!({ "generation": generation, "exception": exception }))
    }

    fn record(
        &self,
        change: &Change,
        id: &str,
        exception: Option<&ExceptionSpec>,
        caller: Caller,
        result: &str,
        error: Option<&str>,
    ) -> Result<(), Failure> {
        let entry = Entry {
            time: UnixSeconds::now(),
            caller,
            verb: change.verb(),
            id,
            exception,
            reason: change.reason(),
        };
        let log = self.grants.open_log();
        log.and_then(|mut log| log.append(&entry, result, error))
            .map_err(|error| {
                let text = format!("it cannot be put on record, so nothing changes: {error}");
                Failure::new(Cause::Internal, text)
            })
    }

    /// What `geofence status` shows of exceptions.
    pub(super) fn exceptions_in_short(config: &Config) -> Value {
        let now = UnixSeconds::now();
        let lapsing = config
            .policy
            .expiring_exceptions(now)
            .map(|one| json!({ "id": one.id, "until": one.until.map(|until| until.to_string()), "owner": one.owner }));
        let noted = config.runtime.list.iter().filter_map(|one| {
            Some(json!({ "id": one.spec.id, "holds": !one.is_idle(), "note": one.note()? }))
        });
        json!({
            "live": config.policy.live_exceptions(now).count(),
            "lapsing": lapsing.collect::<Vec<_>>(),
            "noted": noted.collect::<Vec<_>>(),
        })
    }

    fn refuse_taken(&self, config: &Config, grant: &ExceptionSpec) -> Result<(), Failure> {
        let id = &grant.id;
        if let Some(granted) = config.runtime.list.iter().find(|one| one.spec.id == *id) {
            let ExceptionSpec { owner, reason, .. } = &granted.spec;
            return Err(refusal(format!(
                "there is an exception {id} already, granted by command (owner {owner}, reason {reason}): choose \
                 another name, or none to be given one; `geofence exception extend {id}` moves its end, and \
                 `geofence exception remove {id}` takes it back"
            )));
        }
        if config.policy.exceptions.iter().any(|one| one.id == *id) {
            return Err(refusal(format!(
                "there is an exception {id} already, in {}: choose another name, or none to be given one",
                self.configuration()
            )));
        }
        Ok(())
    }

    pub(super) fn not_granted(&self, config: &Config, id: &str) -> Failure {
        let exceptions = &config.policy.exceptions;
        if exceptions.iter().any(|one| one.id == id) {
            return self.of_the_configuration(id);
        }
        let granted = config.runtime.list.iter().map(|one| one.spec.id.as_str());
        let names = exceptions.iter().map(|one| one.id.as_str()).chain(granted);
        let help = match nearest(id, names) {
            Some(near) => format!("did you mean {near}?"),
            None => "`geofence exception list` shows them all".to_owned(),
        };
        refusal(format!("there is no exception {id:?}; {help}"))
    }

    fn of_the_configuration(&self, id: &str) -> Failure {
        refusal(format!(
            "exception {id} stands in {}, and no command changes it there: change the file, then `geofence reload`",
            self.configuration()
        ))
    }

    fn configuration(&self) -> String {
        let file = self.source.file.as_ref();
        file.map_or_else(
            || "the configuration".to_owned(),
            |file| file.display().to_string(),
        )
    }
}

fn refusal(text: String) -> Failure {
    Failure::new(Cause::Request, text)
}

/// A name that no exception has.
fn free_name(config: &Config) -> String {
    let own = config.policy.exceptions.iter().map(|one| one.id.as_str());
    let granted = config.runtime.list.iter().map(|one| one.spec.id.as_str());
    let alike = own.chain(granted).filter(|name| name.starts_with("x-"));
    let taken: HashSet<&str> = alike.collect();
    let is_taken = |name: &String| taken.contains(name.as_str());
    let mut names = (1..).map(|number: u64| format!("x-{number}"));
    names.find(|name| !is_taken(name)).unwrap_or_default()
}
