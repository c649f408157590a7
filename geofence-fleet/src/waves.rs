//! Takes a release from wave to wave: the next one follows when every node of the last is well.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::time::Instant;

use crate::engine::{Engine, EngineError};
use crate::keys::{Name, Subject};
use crate::node_status::Progress;
use crate::release::{Release, Stop, waves};
use crate::rollout::Fleet;

/// How often the nodes are looked at.
pub const LOOK: Duration = Duration::from_secs(1);
/// How long the engine may be away before a rollout ends: while its members choose a leader, or one is lost.
const AWAY_MAX: Duration = Duration::from_secs(60);
/// How long a node may take beyond the time that its download and its trial last: to compile and to report.
const SLACK: Duration = Duration::from_secs(120);

/// How a rollout ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All connected nodes have it.
    Everywhere(usize),
    Stopped(Stop),
}

/// A wave of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wave {
    pub number: usize,
    /// How many waves there are.
    pub count: usize,
    /// How many nodes it includes, and how many there are.
    pub nodes: usize,
    pub of: usize,
    limit: u64,
}

/// What a step of a rollout has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Began(Wave),
    /// Nodes of this wave have not reported yet.
    Waiting(Wave),
    Ended(Ended),
}

/// A release on its way.
#[derive(Clone, Debug)]
pub struct Rollout {
    subject: Subject,
    revision: u64,
    /// The nodes that were connected when it began.
    names: Vec<Name>,
    left: VecDeque<Wave>,
    running: Option<Running>,
}

/// The wave that nodes are taking.
#[derive(Clone, Debug)]
struct Running {
    wave: Wave,
    release: Release,
    /// Nodes that have not reported.
    open: Vec<Name>,
    lasts: Duration,
    deadline: Instant,
}

impl Rollout {
    /// Plans the waves that a release has not reached.
    ///
    /// # Errors
    /// When releases are frozen, no node is connected, or the engine does not answer.
    pub async fn begin(fleet: &mut Fleet, subject: &Subject) -> Result<Self> {
        let (release, _) = fleet.known_release(subject).await?;
        if !release.is_rollback && release.stopped.is_none() {
            fleet.ensure_not_frozen().await?;
        }
        let nodes = fleet.followers(subject).await?;
        ensure!(
            !nodes.is_empty() || release.stopped.is_some(),
            "no node that follows {subject} is connected"
        );
        let names: Vec<Name> = nodes.into_iter().map(|one| one.node).collect();
        let waves = waves(&names, &release.content.sha256);
        let count = waves.len();
        let all = (1..).zip(waves).map(|(number, (limit, nodes))| Wave {
            number,
            count,
            nodes,
            of: names.len(),
            limit,
        });
        Ok(Self {
            subject: subject.clone(),
            revision: release.revision,
            left: all.filter(|wave| wave.limit >= release.limit).collect(),
            names,
            running: None,
        })
    }

    /// The revision of the release.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// Looks at the nodes once, and begins the next wave if all of this one have the release.
    ///
    /// # Errors
    /// When another operator has changed the release, or the engine does not answer.
    pub async fn step(&mut self, fleet: &mut Fleet) -> Result<Step> {
        if let Some(mut running) = self.running.take() {
            let wave = running.wave;
            let stop = running.look(fleet, &self.subject).await;
            let is_open = !running.open.is_empty();
            let is_rollback = running.release.is_rollback;
            self.running = Some(running);
            if let Some(stop) = stop? {
                // The way back stays open to every node, whatever one of them makes of it.
                if !is_rollback {
                    let stop = stop.clone();
                    fleet.stop(&self.subject, self.revision, stop).await?;
                }
                return Ok(Step::Ended(Ended::Stopped(stop)));
            }
            if is_open {
                return Ok(Step::Waiting(wave));
            }
        } else {
            let (release, _) = fleet.known_release(&self.subject).await?;
            if let (Some(stop), true) = (release.stopped, release.revision == self.revision) {
                return Ok(Step::Ended(Ended::Stopped(stop)));
            }
        }
        let Some(&wave) = self.left.front() else {
            return Ok(Step::Ended(Ended::Everywhere(self.names.len())));
        };
        let set = |release: &mut Release| release.limit = wave.limit;
        let release = fleet.change(&self.subject, self.revision, set).await?;
        self.left.pop_front();
        let names = self.names.iter();
        let lasts =
            Duration::from_secs(release.trial.confirm_within) + release.content.fetch_max() + SLACK;
        self.running = Some(Running {
            wave,
            open: names
                .filter(|name| release.includes(name))
                .cloned()
                .collect(),
            release,
            lasts,
            deadline: Instant::now() + lasts,
        });
        Ok(Step::Began(wave))
    }
}

fn is_away(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<EngineError>()
        .is_some_and(EngineError::is_away)
}

impl Running {
    /// Crosses off the nodes that have the release; returns why the wave must stop.
    async fn look(&mut self, fleet: &mut Fleet, subject: &Subject) -> Result<Option<Stop>> {
        for status in fleet.followers(subject).await? {
            let own = status.says_of(subject, &self.release);
            match own.map(|one| (one.progress, &one.why)) {
                Some((Progress::Active, _)) => self.open.retain(|name| *name != status.node),
                Some((Progress::Failed | Progress::Refused, why)) => {
                    let why = why.clone().unwrap_or_default();
                    let node = Some(status.node);
                    return Ok(Some(Stop { node, why }));
                }
                Some((Progress::Trying, _)) | None => {}
            }
        }
        let late = self
            .open
            .first()
            .filter(|_| Instant::now() >= self.deadline);
        Ok(late.map(|node| Stop {
            node: Some(node.clone()),
            why: format!("no result within {} s", self.lasts.as_secs()),
        }))
    }
}

impl Fleet {
    /// Takes a release through the waves that it has not reached, and stops it where a node fails. The engine may be
    /// away for a minute meanwhile.
    ///
    /// # Errors
    /// When releases are frozen, no node is connected, or the engine stays away.
    pub async fn roll_out(
        &mut self,
        subject: &Subject,
        say: &mut dyn FnMut(&str) -> Result<()>,
    ) -> Result<Ended> {
        let mut rollout = Rollout::begin(self, subject).await?;
        let mut away_since = None;
        loop {
            let step = match rollout.step(self).await {
                Err(error) if is_away(&error) => {
                    let now = Instant::now();
                    if now - *away_since.get_or_insert(now) >= AWAY_MAX {
                        return Err(error);
                    }
                    tokio::time::sleep(LOOK).await;
                    // Another member may have what this one lacks. A look at the nodes tells whether it does.
                    if let Ok(engine) = Engine::connect(&self.settings).await {
                        self.engine = engine;
                    }
                    continue;
                }
                step => step?,
            };
            away_since = None;
            match step {
                Step::Began(Wave {
                    number,
                    count,
                    nodes,
                    of,
                    ..
                }) => say(&format!("wave {number} of {count}: {nodes} of {of} nodes"))?,
                Step::Waiting(_) => tokio::time::sleep(LOOK).await,
                Step::Ended(ended) => return Ok(ended),
            }
        }
    }
}
