//! Who decides about the packet: this process, or the program in the kernel.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use geofence_common::decide::Verdict;
use geofence_common::explain::Step;
use serde_json::Value;

use crate::cli::asked::Asked;
use crate::config::Config;
use crate::explain::simulated_tables::{PacketHistory, SimulatedTables};
use crate::explain::{Names, explain, explain_with};
use crate::kernel::{Filter, Running};
use crate::model::policy::{Exception, Policy, Protection, Tenant};
use crate::model::units::UnixSeconds;
use crate::os::clock::boot_now;
use crate::os::instance::Instance;
use crate::prepare::{Prepared, prepare};
use crate::serve::control::{Answer, Request, ask};

/// Who decides about the packet.
pub(super) enum Decider {
    /// This process, by the given policy.
    Process(Box<Prepared>),
    /// The kernel's program, loaded with the given policy.
    Loaded(Box<Filter>, Box<Prepared>),
    /// This process, by the policy and the flows of the running filter; and the names in that policy.
    Image(Box<Running>, Box<Policy>),
    /// The running filter, by its own policy; and the names in that policy, if a daemon knows them.
    Running(Box<Running>, Option<Box<Policy>>),
}

impl Decider {
    /// The kernel's program: the running filter, or one that is loaded with this configuration and not attached.
    pub(super) fn kernel(
        instance: &Instance,
        config: impl FnOnce() -> anyhow::Result<Config>,
    ) -> anyhow::Result<Self> {
        if let Some(running) = Running::find(instance)? {
            let names = match ask(instance, &Request::Names) {
                Ok(Answer::Done(names)) => Some(Box::new(policy_of_names(&names))),
                Ok(Answer::Refused { .. }) | Err(_) => None,
            };
            return Ok(Self::Running(Box::new(running), names));
        }
        let prepared = prepare(config()?)?;
        let mut filter = Filter::load(prepared.options(true))?;
        filter.install(&prepared.image, prepared.lpm_prefixes()?.as_ref())?;
        Ok(Self::Loaded(Box::new(filter), Box::new(prepared)))
    }

    /// This process: by the running filter's policy if that is asked, or else by the configuration.
    pub(super) fn process(instance: &Instance, asked: Asked) -> anyhow::Result<Self> {
        let prepared = asked.prepared();
        let Some(running) = asked.running else {
            return Ok(Self::Process(Box::new(prepared?)));
        };
        let mut policy = match ask(instance, &Request::Names) {
            Ok(Answer::Done(names)) => policy_of_names(&names),
            Ok(Answer::Refused { .. }) | Err(_) => Config::default().policy,
        };
        // Where an address stands on a list is known from the texts, as far as they can be read.
        if let Ok(prepared) = prepared {
            policy.lists = prepared.config.policy.lists;
            policy.autonomous_systems = prepared.config.policy.autonomous_systems;
        }
        Ok(Self::Image(running, Box::new(policy)))
    }

    /// The words of the image.
    pub(super) fn words(&self) -> &[u32] {
        match self {
            Self::Process(prepared) | Self::Loaded(_, prepared) => prepared.image.words(),
            Self::Image(running, _) | Self::Running(running, _) => running.words(),
        }
    }

    /// The given policy and its data; none for the running filter.
    pub(super) fn prepared(&self) -> Option<&Prepared> {
        match self {
            Self::Process(prepared) | Self::Loaded(_, prepared) => Some(prepared),
            Self::Image(..) | Self::Running(..) => None,
        }
    }

    /// The names of tenants and exceptions. For a running filter without a daemon, only their numbers are known.
    pub(super) fn names(&self) -> Names<'_> {
        match self {
            Self::Process(prepared) | Self::Loaded(_, prepared) => {
                Names(Some(&prepared.config.policy))
            }
            Self::Image(_, names) => Names(Some(names)),
            Self::Running(_, names) => Names(names.as_deref()),
        }
    }

    /// The verdict, and the steps of this process's decision. If the kernel decides differently, that is a bug.
    pub(super) fn decide(&mut self, frame: &[u8]) -> anyhow::Result<(Verdict, Vec<Step>)> {
        let asking = "running the kernel's program on the packet";
        let (verdict, steps, kernel) = match self {
            Self::Process(prepared) => return Ok(explain(frame, prepared.image.words())),
            Self::Image(running, _) => return explain_running(frame, running),
            Self::Loaded(filter, prepared) => {
                let (verdict, steps) = explain(frame, prepared.image.words());
                (verdict, steps, filter.ask(frame).context(asking)?)
            }
            Self::Running(running, _) => {
                // A filter that runs records no reasons; only its action is known.
                let (verdict, steps) = explain_running(frame, running)?;
                let action = running
                    .ask(frame)
                    .with_context(|| format!("{asking} (id {})", running.id()))?;
                (verdict, steps, Verdict { action, ..verdict })
            }
        };
        if kernel != verdict {
            bail!(
                "the kernel's program decides differently: {} for {}, and this process: {} for {}. This is a bug in \
                 geofence; please report it with the packet",
                kernel.action.name(),
                kernel.reason.name(),
                verdict.action.name(),
                verdict.reason.name()
            );
        }
        Ok((kernel, steps))
    }
}

/// This process's decision over the image and the flows of the running filter. It does not know which fragments passed.
fn explain_running(frame: &[u8], running: &Running) -> anyhow::Result<(Verdict, Vec<Step>)> {
    let flows = running.flows().iter();
    let history = PacketHistory {
        now: boot_now()?,
        flows: flows
            .map(|(table, key, flow)| ((*table, *key), *flow))
            .collect(),
        ..PacketHistory::default()
    };
    let tables = SimulatedTables::new(running.words(), history);
    Ok(explain_with(frame, &tables))
}

/// A policy of which only the names are known.
fn policy_of_names(names: &Value) -> Policy {
    let list = |key: &str| {
        let list = names[key].as_array().cloned();
        list.unwrap_or_default().into_iter()
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let number = |value: &Value| {
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        number.unwrap_or(u32::MAX)
    };
    let mut policy = Config::default().policy;
    policy.tenants.extend(list("tenants").map(|one| Tenant {
        name: text(&one["name"]),
        number: number(&one["number"]),
        ..Tenant::default()
    }));
    policy.exceptions.extend(list("exceptions").map(|one| {
        Arc::new(Exception {
            id: text(&one["id"]),
            slot: number(&one["slot"]),
            owner: text(&one["owner"]),
            reason: text(&one["reason"]),
            until: one["until"].as_u64().map(UnixSeconds),
            ..Exception::default()
        })
    }));
    let protections = list("protections").map(|one| Protection {
        id: text(&one["id"]),
        slot: number(&one["slot"]),
        ..Protection::default()
    });
    policy.protections.extend(protections);
    policy
}
