//! What the daemon answers when it is asked for its state: `geofence status`, the policy, and the names behind
//! numbers.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::active::{ActivePolicy, Trial};
use super::interface_state::InterfaceState;
use super::runtime_exceptions::summary;
use super::snapshot::{database_updates, policy_hash};
use super::start::sentence;
use super::state::Daemon;
use super::sync::{lock, run_blocking};
use crate::checks::diff::Described;
use crate::config::overrides::Overrides;
use crate::data::lists::ListReport;
use crate::kernel::is_private;
use crate::model::failure::{Cause, Failure};
use crate::model::shortfall::Shortfall;
use crate::model::units::UnixSeconds;
use crate::model::word::Word as _;

impl Daemon {
    /// What `geofence status` shows.
    pub async fn status(&self) -> Value {
        let interfaces = self.protection().await;
        let active = lock(&self.active).clone();
        let policy_hash = policy_hash(&active).await;
        let config = active.config;
        let facts = self.facts();
        // What the kernel holds, if it can be read.
        let generation = lock(&self.filter).generation();
        let confirmed = generation.is_ok();
        let generation = generation.unwrap_or(facts.generation);
        let interfaces: Vec<_> = interfaces
            .iter()
            .map(|state| {
                let mut json = state.to_json();
                json["encapsulated"] = json!(lock(&self.filter).encapsulated(state.slot).ok());
                json
            })
            .collect();
        let lists: Vec<_> = facts.lists.iter().map(ListReport::to_json).collect();
        let databases = facts.databases.iter().map(|(name, built)| {
            json!({
                "name": name,
                "built": built,
                "age_days": UnixSeconds::now().days_since(*built),
            })
        });
        let updates = database_updates(&config).into_iter().map(|(file, state)| {
            json!({
                "file": file,
                "confirmed": state.confirmed,
                "failed": state.failed,
                "refused": state.refused,
                "retry": state.retry,
            })
        });
        json!({
            "instance": config.instance.name(),
            "process": std::process::id(),
            "configuration": self.source.file.as_ref().and_then(|file| std::path::absolute(file).ok()),
            "program_version": env!("CARGO_PKG_VERSION"),
            "mode": facts.mode.word(),
            "policy_hash": policy_hash,
            "policy": (!facts.is_last_good).then(|| sentence(&config.policy)),
            "rates": self.rates(),
            "unanswered": self.unanswered(config.policy.replies),
            "generation": generation,
            "generation_confirmed": confirmed,
            "mail_dns": config.policy.mail_dns_in_words(),
            "listen": config.listen.to_string(),
            "metrics_url": *lock(&self.metrics_url),
            "databases": databases.collect::<Vec<_>>(),
            "database_updates": updates.collect::<Vec<_>>(),
            "lists": lists,
            "exceptions": summary(&config, self.kernel_time()),
            "interfaces": interfaces,
            "private_pins": is_private(),
            "reloads": self.reloads().to_json(),
            "shortfalls": self.shortfalls().iter().map(Shortfall::to_json).collect::<Vec<_>>(),
            "privilege": self.privilege.to_json(),
            "trial": lock(&self.trial).as_ref().map(Trial::to_json),
        })
    }

    /// Whether the filter was on any interface when they were examined last.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        lock(&self.interfaces)
            .iter()
            .any(InterfaceState::is_protected)
    }

    /// What is blocked, in which mode, and where, in one sentence.
    #[must_use]
    pub fn in_words(&self) -> String {
        let ActivePolicy { config, facts, .. } = lock(&self.active).clone();
        let policy = if facts.is_last_good {
            format!("{} mode: the last good image filters", facts.mode.word())
        } else {
            sentence(&config.policy)
        };
        let interfaces = lock(&self.interfaces).clone();
        let on = interfaces.iter().filter(|one| one.is_protected());
        let on: Vec<_> = on.map(|one| one.name.as_str()).collect();
        if on.is_empty() {
            return format!("{policy}; attached to no interface");
        }
        format!("{policy}; attached to {}", on.join(", "))
    }

    /// A text that is another one when what the status says has changed, apart from rates and counts.
    #[must_use]
    pub fn mark(&self) -> String {
        let ActivePolicy { facts, .. } = lock(&self.active).clone();
        let states = lock(&self.interfaces);
        let protected: String = states
            .iter()
            .map(|one| if one.is_protected() { '1' } else { '0' })
            .collect();
        let failures = self.reloads().failed.values().sum::<u64>();
        let shortfalls = self.shortfalls().len();
        let is_on_trial = lock(&self.trial).is_some();
        format!(
            "{} {} {protected} {failures} {shortfalls} {is_on_trial}",
            facts.mode.word(),
            facts.generation
        )
    }

    /// The configuration behind the active image, key by key, if that image was made from it, and the options of the
    /// command line that hold whatever the configuration file says. There may be a hundred thousand exceptions.
    ///
    /// # Errors
    /// If it cannot be written as JSON.
    pub async fn policy(self: &Arc<Self>) -> Result<Box<RawValue>, Failure> {
        let daemon = Arc::clone(self);
        run_blocking(move || {
            let ActivePolicy { config, facts, .. } = lock(&daemon.active).clone();
            let described = (!facts.is_last_good).then(|| Described::of(&config, &facts.lists));
            let answer = PolicyAnswer {
                described,
                overrides: &daemon.source.overrides,
                database_types: &facts.database_types,
            };
            to_raw_value(&answer).map_err(|error| Failure::new(Cause::Internal, error))
        })
        .await
    }

    /// The names of the tenants, exceptions and protections that a verdict gives by number.
    pub fn names(&self) -> Value {
        let config = Arc::clone(&lock(&self.active).config);
        let policy = &config.policy;
        let tenants = policy.tenants.iter();
        let exceptions = policy.exceptions.iter().map(|one| {
            json!({
                "id": one.id,
                "slot": one.slot,
                "ban": one.is_ban,
                "owner": one.owner,
                "reason": one.reason,
                "until": one.until,
            })
        });
        let protections = policy.protections.iter();
        json!({
            "tenants": tenants.map(|one| json!({ "name": one.name, "number": one.number })).collect::<Vec<_>>(),
            "exceptions": exceptions.collect::<Vec<_>>(),
            "protections": protections.map(|one| json!({ "id": one.id, "slot": one.slot })).collect::<Vec<_>>(),
        })
    }
}

/// The answer to `policy`.
#[derive(Serialize)]
struct PolicyAnswer<'a> {
    described: Option<Described>,
    overrides: &'a Overrides,
    database_types: &'a [String],
}
