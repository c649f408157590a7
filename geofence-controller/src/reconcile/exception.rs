//! Exceptions: one key of the engine each, for every node at once.

use std::time::Duration;

use anyhow::Result;
use geofence_fleet::exceptions::Reach;
use geofence_user::model::units::UnixSeconds;
use kube::ResourceExt as _;
use tracing::info;

use super::managed::{LATER, Managed, SOON, Status, find, find_invalid};
use super::mapping;
use crate::context::Context;
use crate::resources::{Condition, ExceptionStatus, Finding, GeofenceException, Refusal, Truth};

/// How many of the nodes that refuse an exception are in its status.
const REFUSALS_MAX: usize = 10;

impl Status for ExceptionStatus {
    fn conditions(&mut self) -> &mut Vec<Condition> {
        &mut self.conditions
    }

    fn observe(&mut self, generation: Option<i64>) {
        self.observed_generation = generation;
    }
}

impl Managed for GeofenceException {
    type Status = ExceptionStatus;

    fn status(&self) -> Option<&ExceptionStatus> {
        self.status.as_ref()
    }

    async fn apply(&self, context: &Context, status: &mut ExceptionStatus) -> Result<Duration> {
        let spec = match mapping::exception(self) {
            Ok(spec) => spec,
            Err(error) => {
                let before = match status.revision {
                    Some(_) => "; the exception before this change stays in force",
                    None => "",
                };
                let message = format!("{}{before}", format!("{error:#}").trim());
                find_invalid(self, status, message);
                return Ok(LATER);
            }
        };
        let (now, end) = (UnixSeconds::now(), spec.expiry()?);
        status.id = Some(spec.id.clone());
        status.until.clone_from(&spec.until);
        find(self, status, Finding::accepted(Truth::True, "Valid", ""));
        let mut fleet = context.engine.fleet().await?;
        if end.is_some_and(|end| end <= now) {
            if fleet.remove_exception(&spec.id).await?.is_some() {
                info!("{} has expired", spec.id);
            }
            let until = spec.until.unwrap_or_default();
            let message = format!("it ended at {until}; change its end, or delete it");
            find(
                self,
                status,
                Finding::ready(Truth::False, "Expired", message),
            );
            (status.revision, status.nodes, status.connected_nodes) = (None, None, None);
            status.refused = None;
            return Ok(LATER);
        }
        let known = fleet.exception(&spec.id).await?;
        let revision = match known {
            Some((Some(known), revision)) if known == spec => revision,
            known => {
                let before = known.map_or(0, |(_, revision)| revision);
                let revision = fleet.replace_exception(&spec, before).await?;
                info!("{} is in the engine, revision {revision}", spec.id);
                revision
            }
        };
        status.revision = Some(revision);
        let reach = Reach::of(&context.engine.nodes().await?, &spec.id, revision);
        find(self, status, ready(&reach));
        let pause = if reach.behind.is_empty() { LATER } else { SOON };
        status.nodes = count(reach.done);
        status.connected_nodes = count(reach.nodes);
        let refused = reach.refused.into_iter().take(REFUSALS_MAX);
        let refused: Vec<_> = refused
            .map(|(node, message)| Refusal {
                node: node.to_string(),
                message,
            })
            .collect();
        status.refused = (!refused.is_empty()).then_some(refused);
        let left = end.map(|end| end.since(now) + Duration::from_secs(1));
        Ok(left.map_or(pause, |left| left.min(pause)))
    }

    async fn remove(&self, context: &Context) -> Result<()> {
        // A name that is none was never written.
        let Ok(id) = mapping::id(self) else {
            return Ok(());
        };
        let removed = context.engine.fleet().await?.remove_exception(&id).await?;
        if removed.is_some() {
            info!("{id} is removed: {} is deleted", self.name_any());
        }
        Ok(())
    }
}

fn count(number: usize) -> Option<i64> {
    i64::try_from(number).ok()
}

/// What the nodes make of it.
fn ready(reach: &Reach) -> Finding {
    let Reach {
        nodes,
        done,
        behind,
        refused,
    } = reach;
    if let Some((node, why)) = refused.first() {
        let others = match refused.len() {
            1 => String::new(),
            count => format!(" ({count} nodes refuse it)"),
        };
        let message = format!("{node} refuses it: {}{others}", why.trim());
        return Finding::ready(Truth::False, "Refused", message);
    }
    if *nodes == 0 {
        let message =
            "no node is connected; it is in the engine, and nodes take it when they connect";
        return Finding::ready(Truth::False, "NoNodes", message);
    }
    if let Some(first) = behind.first() {
        let message =
            format!("in force on {done} of {nodes} connected nodes; {first} has not reported it");
        return Finding::ready(Truth::False, "Progressing", message);
    }
    let message = format!("in force on all {nodes} connected nodes");
    Finding::ready(Truth::True, "InForce", message)
}
