//! Who decides about the packet: this process, or the program in the kernel.
//!
//! A question changes nothing. The program that filters would count it, so a copy of that program answers.

use std::io::{Write as _, stderr};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use geofence_common::action::Reason;
use geofence_common::decide::Verdict;
use geofence_common::explain::Step;
use serde_json::Value;

use crate::cli::asked::Asked;
use crate::cli::waiting;
use crate::config::Config;
use crate::explain::simulated_tables::PacketHistory;
use crate::explain::{Names, explain_next};
use crate::kernel::{Filter, PrivateCopy, Running};
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
    Loaded(Box<Filter>, Box<Prepared>, PacketHistory),
    /// This process, by the policy and the flows of the running filter; and the names in that policy.
    Image(Box<Seen>, Box<Policy>),
    /// A copy of the running filter, with its own policy and flows; and the names in that policy, if a daemon knows
    /// them.
    Running(Box<Seen>, Box<PrivateCopy>, Option<Box<Policy>>),
}

/// A running filter, and the packets that it has seen.
pub(super) struct Seen {
    pub(super) running: Box<Running>,
    history: PacketHistory,
}

impl Decider {
    /// The kernel's program: a copy of the running filter, or one that is loaded with this configuration and not
    /// attached.
    pub(super) fn kernel(
        instance: &Instance,
        config: impl FnOnce() -> anyhow::Result<Config>,
    ) -> anyhow::Result<Self> {
        if let Some(running) = Running::find(instance)? {
            let names = match ask(instance, &Request::Names) {
                Ok(Answer::Done(names)) => Some(Box::new(policy_of_names(&names))),
                Ok(Answer::Refused { .. }) | Err(_) => None,
            };
            let copy = copy_of(&running)?;
            let seen = Seen::by(Box::new(running))?;
            return Ok(Self::Running(Box::new(seen), Box::new(copy), names));
        }
        let prepared = prepare(config()?)?;
        let mut filter = Filter::load(prepared.options(true))?;
        filter.install(&prepared.image, prepared.lpm_prefixes()?.as_ref())?;
        let history = PacketHistory::default();
        Ok(Self::Loaded(Box::new(filter), Box::new(prepared), history))
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
            policy.geo_overrides = prepared.config.policy.geo_overrides;
        }
        Ok(Self::Image(Box::new(Seen::by(running)?), Box::new(policy)))
    }

    /// The words of the image.
    pub(super) fn words(&self) -> &[u32] {
        match self {
            Self::Process(prepared) | Self::Loaded(_, prepared, _) => prepared.image.words(),
            Self::Image(seen, _) | Self::Running(seen, ..) => seen.running.words(),
        }
    }

    /// The given policy and its data; none for the running filter.
    pub(super) fn prepared(&self) -> Option<&Prepared> {
        match self {
            Self::Process(prepared) | Self::Loaded(_, prepared, _) => Some(prepared),
            Self::Image(..) | Self::Running(..) => None,
        }
    }

    /// The names of tenants and exceptions. For a running filter without a daemon, only their numbers are known.
    pub(super) fn names(&self) -> Names<'_> {
        match self {
            Self::Process(prepared) | Self::Loaded(_, prepared, _) => {
                Names(Some(&prepared.config.policy))
            }
            Self::Image(_, names) => Names(Some(names)),
            Self::Running(.., names) => Names(names.as_deref()),
        }
    }

    /// The verdict, and the steps of this process's decision; about a reply if this side has just sent `sent`. If the
    /// kernel decides differently, that is a bug.
    pub(super) fn decide(
        &mut self,
        frame: &[u8],
        sent: Option<&[u8]>,
    ) -> anyhow::Result<(Verdict, Vec<Step>)> {
        let asking = "running the kernel's program on the packet";
        let (words, history) = match self {
            Self::Process(prepared) => {
                let words = prepared.image.words();
                return Ok(explain_next(
                    frame,
                    sent,
                    words,
                    &mut PacketHistory::default(),
                ));
            }
            Self::Loaded(_, prepared, history) => (prepared.image.words(), history),
            Self::Image(seen, _) | Self::Running(seen, ..) => {
                (seen.running.words(), &mut seen.history)
            }
        };
        history.now = boot_now()?;
        let (verdict, steps) = explain_next(frame, sent, words, history);
        let kernel = match self {
            Self::Loaded(filter, ..) => {
                if let Some(sent) = sent {
                    filter.send(sent).context(asking)?;
                }
                filter.ask(frame)
            }
            Self::Running(_, copy, _) => {
                if let Some(sent) = sent {
                    copy.send(sent).context(asking)?;
                }
                copy.ask(frame)
            }
            Self::Process(_) | Self::Image(..) => Ok(verdict),
        };
        let kernel = kernel.context(asking)?;
        // The two look at their clocks one after the other, on which a rate limit may depend.
        let is_limited = [kernel, verdict].map(|one| one.reason == Reason::RateLimit);
        if kernel != verdict && !is_limited.contains(&true) {
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

impl Seen {
    fn by(running: Box<Running>) -> anyhow::Result<Self> {
        let flows = running.flows().iter();
        let history = PacketHistory {
            now: 0,
            flows: flows
                .map(|(table, key, flow)| ((*table, *key), *flow))
                .collect(),
            datagrams: running.datagrams()?.into_iter().collect(),
            buckets: running.buckets()?.into_iter().collect(),
            ..PacketHistory::default()
        };
        Ok(Self { running, history })
    }
}

/// Loads a copy of a running filter. If that is of another build, the answer follows a warning, and may be wrong for
/// the other program.
fn copy_of(running: &Running) -> anyhow::Result<PrivateCopy> {
    let copy = running.private_copy()?;
    if !copy.is_same_program() {
        waiting::end();
        writeln!(
            stderr(),
            "warning: the running filter (program {}) is of another build than this command, so this command's own \
             program answers, with the running filter's policy",
            running.id()
        )?;
    }
    Ok(copy)
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
            is_ban: one["ban"] == true,
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
