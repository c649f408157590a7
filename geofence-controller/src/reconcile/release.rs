//! What policies and lists have in common: a release of the fleet, which goes to the nodes in waves.
//!
//! A release says who has made it. One that another resource or a command has made is left alone, so an operator's
//! `geofence-fleet revert` is not undone by a controller that knows better.

use std::time::Duration;

use anyhow::Result;
use geofence_fleet::keys::Subject;
use geofence_fleet::node_status::{NodeStatus, Progress};
use geofence_fleet::release::{ALL, Content, Release, Stop, Trial};
use geofence_fleet::rollout::{Fleet, Plan};
use geofence_fleet::waves::{Ended, Rollout, Step, Wave};
use tracing::{info, warn};

use super::managed::{LATER, Managed, SOON, Status, find, find_invalid};
use super::mapping;
use crate::context::Context;
use crate::resources::{Condition, Finding, ReleaseStatus, Truth};

/// When nodes are looked for again where none is connected.
const NO_NODES: Duration = Duration::from_secs(5);

impl Status for ReleaseStatus {
    fn conditions(&mut self) -> &mut Vec<Condition> {
        &mut self.conditions
    }

    fn observe(&mut self, generation: Option<i64>) {
        self.observed_generation = generation;
    }
}

/// What a resource asks for.
pub(super) struct Wanted {
    pub(super) subject: Subject,
    /// Who makes the release: the resource.
    pub(super) owner: String,
    pub(super) content: Content,
    /// The content itself, if the engine is to keep it.
    pub(super) bytes: Option<Vec<u8>>,
    pub(super) trial: Trial,
    pub(super) reason: String,
    pub(super) is_paused: bool,
    /// The revision by another that may be replaced.
    pub(super) replaces: Option<i64>,
}

/// Takes what a resource asks for a step further, and puts what is found into its status. Returns when to look again.
pub(super) async fn apply<K: Managed<Status = ReleaseStatus>>(
    object: &K,
    context: &Context,
    status: &mut ReleaseStatus,
    wanted: Result<Wanted>,
) -> Result<Duration> {
    let wanted = match wanted {
        Ok(wanted) => wanted,
        Err(error) => {
            find_invalid(object, status, format!("{error:#}"));
            return Ok(LATER);
        }
    };
    let (findings, pause) = wanted.advance(context, status).await?;
    for finding in findings {
        find(object, status, finding);
    }
    Ok(pause)
}

impl Wanted {
    /// Whether a release is the one that was made of this.
    fn is(&self, release: &Release) -> bool {
        release.owner == self.owner
            && release.content == self.content
            && release.trial == self.trial
            && release.reason == self.reason
    }

    /// Whether a release may be replaced.
    fn may_replace(&self, release: &Release) -> bool {
        release.owner == self.owner || self.replaces == number(release.revision)
    }

    /// Takes what is wanted a step further. Returns what is found, and when to look again.
    async fn advance(
        self,
        context: &Context,
        status: &mut ReleaseStatus,
    ) -> Result<(Vec<Finding>, Duration)> {
        let mut fleet = context.engine.fleet().await?;
        let accepted = Finding::accepted(Truth::True, "Valid", "");
        let known = fleet.release(&self.subject).await?;
        let known = known.map(|(release, _)| release);
        let is_frozen = fleet.is_frozen().await?;
        let hold = match (self.is_paused, is_frozen) {
            (true, _) => Some(("Paused", "it goes no further while `paused` is true")),
            (false, true) => Some((
                "Frozen",
                "the fleet is frozen: `geofence-fleet freeze --off` lets releases go on",
            )),
            (false, false) => None,
        };
        let release = match known {
            Some(release) if self.is(&release) => release,
            Some(release) if !self.may_replace(&release) => {
                let (by, of, revision) = (&release.owner, &release.reason, release.revision);
                let message = format!(
                    "{} has revision {revision} by {by}: {of}; `replacesRevision: {revision}` replaces it",
                    self.subject
                );
                let ready = Finding::ready(
                    Truth::False,
                    "Conflict",
                    "not accepted; the condition Accepted says why",
                );
                let accepted = Finding::accepted(Truth::False, "Conflict", message);
                self.forget(context);
                return Ok((vec![accepted, ready], LATER));
            }
            _ => {
                self.forget(context);
                if let Some((reason, message)) = hold {
                    let ready = Finding::ready(Truth::False, reason, message);
                    return Ok((vec![accepted, ready], LATER));
                }
                self.publish(&mut fleet).await?
            }
        };
        if status.revision != number(release.revision) {
            status.revision = number(release.revision);
            status.wave = None;
        }
        status.sha256 = Some(release.content.sha256.clone());
        status.stopped = release.stopped.as_ref().map(mapping::stopped);
        let nodes = context.engine.nodes().await?;
        let reports = Reports::of(&nodes, &self.subject, &release);
        status.nodes = i64::try_from(reports.have).ok();
        status.connected_nodes = i64::try_from(reports.connected).ok();
        let (ready, pause) = match (&release.stopped, hold) {
            (Some(stop), _) => {
                self.forget(context);
                (stopped(stop), LATER)
            }
            // Where all nodes may take it, there is no further wave.
            (None, Some(_)) if release.limit == ALL => {
                self.forget(context);
                (reports.ready(), reports.pause())
            }
            (None, Some((reason, message))) => {
                self.forget(context);
                (Finding::ready(Truth::False, reason, message), LATER)
            }
            (None, None) => {
                self.step(context, &mut fleet, &release, &reports, status)
                    .await?
            }
        };
        Ok((vec![accepted, ready], pause))
    }

    async fn publish(&self, fleet: &mut Fleet) -> Result<Release> {
        let content = match &self.bytes {
            Some(bytes) => {
                fleet
                    .put_content(&self.subject, bytes.clone(), Vec::new())
                    .await?
            }
            None => self.content.clone(),
        };
        let plan = Plan {
            content,
            trial: self.trial,
            owner: self.owner.clone(),
            reason: self.reason.clone(),
            is_rollback: false,
        };
        let release = fleet.publish(&self.subject, plan).await?;
        info!("{}: revision {}", self.subject, release.revision);
        Ok(release)
    }

    /// Looks at the nodes once, and begins the next wave if it is time.
    async fn step(
        &self,
        context: &Context,
        fleet: &mut Fleet,
        release: &Release,
        reports: &Reports,
        status: &mut ReleaseStatus,
    ) -> Result<(Finding, Duration)> {
        if reports.connected == 0 {
            self.forget(context);
            return Ok((reports.ready(), reports.pause()));
        }
        // It is dropped where a step fails, so that the time for a wave begins anew.
        let known = context.rollouts().remove(&self.subject);
        let known = known.filter(|one| one.revision() == release.revision);
        let mut rollout = match known {
            Some(rollout) => rollout,
            // Nodes take it when they connect, and report what became of it.
            None if release.limit == ALL => return Ok((reports.ready(), reports.pause())),
            None => Rollout::begin(fleet, &self.subject).await?,
        };
        let step = rollout.step(fleet).await?;
        match step {
            Step::Began(wave) | Step::Waiting(wave) => {
                if matches!(step, Step::Began(_)) {
                    info!("{}: {}", self.subject, words(wave));
                }
                context.rollouts().insert(self.subject.clone(), rollout);
                status.wave = Some(format!("{} of {}", wave.number, wave.count));
                Ok((
                    Finding::ready(Truth::False, "Progressing", words(wave)),
                    SOON,
                ))
            }
            Step::Ended(Ended::Stopped(stop)) => {
                warn!("{}: STOPPED: {stop}", self.subject);
                status.stopped = Some(mapping::stopped(&stop));
                Ok((stopped(&stop), LATER))
            }
            Step::Ended(Ended::Everywhere(nodes)) => {
                info!("{}: in use on all {nodes} connected nodes", self.subject);
                Ok((reports.ready(), reports.pause()))
            }
        }
    }

    /// Takes the release no further.
    fn forget(&self, context: &Context) {
        context.rollouts().remove(&self.subject);
    }
}

/// Stops a release that is on its way, because its resource is deleted. Nodes that have it keep it, and so does the
/// engine: a node without a policy would be worse.
pub(super) async fn abandon(
    context: &Context,
    subject: Result<Subject>,
    owner: &str,
) -> Result<()> {
    // A name that is none has no release.
    let Ok(subject) = &subject else {
        return Ok(());
    };
    let mut fleet = context.engine.fleet().await?;
    context.rollouts().remove(subject);
    let known = fleet.release(subject).await?;
    let Some((release, _)) = known.filter(|(release, _)| release.owner == owner) else {
        return Ok(());
    };
    if release.stopped.is_none() && release.limit != ALL {
        let why = format!("{owner} is deleted");
        info!("{subject}: STOPPED: {why}");
        let stop = Stop { node: None, why };
        fleet.stop(subject, release.revision, stop).await?;
    }
    Ok(())
}

fn number(revision: u64) -> Option<i64> {
    i64::try_from(revision).ok()
}

fn words(wave: Wave) -> String {
    let Wave {
        number,
        count,
        nodes,
        of,
        ..
    } = wave;
    format!("wave {number} of {count}: {nodes} of {of} nodes")
}

fn stopped(stop: &Stop) -> Finding {
    Finding::ready(Truth::False, "Stopped", stop.to_string())
}

/// What the connected nodes say of a release.
struct Reports {
    connected: usize,
    have: usize,
    /// The first node that has failed, and why.
    failed: Option<Stop>,
}

impl Reports {
    fn of(nodes: &[NodeStatus], subject: &Subject, release: &Release) -> Self {
        let mut reports = Self {
            connected: 0,
            have: 0,
            failed: None,
        };
        for node in nodes
            .iter()
            .filter(|node| subject.is_followed_in(node.group.as_ref()))
        {
            reports.connected += 1;
            let own = node.says_of(subject, release);
            match own.map(|own| (own.progress, &own.why)) {
                Some((Progress::Active, _)) => reports.have += 1,
                Some((Progress::Failed | Progress::Refused, why)) => {
                    reports.failed.get_or_insert(Stop {
                        node: Some(node.node.clone()),
                        why: why.clone().unwrap_or_default(),
                    });
                }
                Some((Progress::Trying, _)) | None => {}
            }
        }
        reports
    }

    fn ready(&self) -> Finding {
        let Self {
            connected, have, ..
        } = self;
        if let Some(failed) = &self.failed {
            return Finding::ready(Truth::False, "NodeFailed", failed.to_string());
        }
        if *connected == 0 {
            let message = "no node that follows it is connected";
            return Finding::ready(Truth::False, "NoNodes", message);
        }
        if have < connected {
            let message = format!("in use on {have} of {connected} connected nodes");
            return Finding::ready(Truth::False, "Progressing", message);
        }
        let message = format!("in use on all {connected} connected nodes");
        Finding::ready(Truth::True, "InUse", message)
    }

    fn pause(&self) -> Duration {
        if self.have < self.connected && self.failed.is_none() {
            SOON
        } else if self.connected == 0 {
            NO_NODES
        } else {
            LATER
        }
    }
}
