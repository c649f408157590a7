//! The fleet as an operator reaches it, and the releases that an operator publishes there.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};

use crate::content::fits;
use crate::engine::{Engine, Entry};
use crate::keys::{Keys, Name, Subject, Watched};
use crate::node_status::{NodeStatus, Progress, Wants};
use crate::release::{ALL, Content, Release, Stop, Trial};
use crate::settings::Settings;
use crate::signature::SigningKey;

/// How many releases more than the engine a node may know.
const AHEAD_MAX: u64 = 1_000_000;

/// The fleet as an operator reaches it.
#[derive(Clone)]
pub struct Fleet {
    pub engine: Engine,
    pub keys: Keys,
    pub settings: Settings,
}

/// What is to be released.
pub struct Plan {
    pub content: Content,
    pub trial: Trial,
    pub owner: String,
    pub reason: String,
    pub is_rollback: bool,
}

fn read<T: serde::de::DeserializeOwned>(entry: &Entry) -> Result<T> {
    serde_json::from_slice(&entry.value).with_context(|| format!("{} cannot be read", entry.key))
}

impl Fleet {
    /// Connects.
    ///
    /// # Errors
    /// When no member of the engine can be reached.
    pub async fn connect(settings: Settings) -> Result<Self> {
        let engine = Engine::connect(&settings).await;
        Ok(Self {
            engine: engine.context("cannot reach the engine")?,
            keys: Keys::of(&settings.fleet),
            settings,
        })
    }

    /// A release, and the engine's revision of it.
    ///
    /// # Errors
    /// As everywhere here: why the engine did not answer.
    pub async fn release(&mut self, subject: &Subject) -> Result<Option<(Release, i64)>> {
        let entry = self.engine.get(&self.keys.release(subject)).await?;
        let read = |entry: &Entry| Ok::<_, anyhow::Error>((read(entry)?, entry.revision));
        entry.as_ref().map(read).transpose()
    }

    /// The same, which must be there.
    pub async fn known_release(&mut self, subject: &Subject) -> Result<(Release, i64)> {
        let found = self.release(subject).await?;
        found.with_context(|| format!("there is no release of {subject}"))
    }

    /// What each connected node says, under the name of its key, because a node writes no other, and in the group that
    /// an operator has put it in. One that says what cannot be read counts as away, and a node that was never made
    /// counts as nothing.
    pub async fn nodes(&mut self) -> Result<Vec<NodeStatus>> {
        let known: BTreeMap<_, _> = self.known_nodes().await?.into_iter().collect();
        let prefix = self.keys.statuses();
        let (entries, _) = self.engine.list(&prefix).await?;
        let readable = entries.iter().filter_map(|entry| {
            let node: Name = entry.key.strip_prefix(&prefix)?.parse().ok()?;
            let group = known.get(&node)?.parse().ok();
            let status: NodeStatus = read(entry).ok()?;
            Some(NodeStatus {
                node,
                group,
                ..status
            })
        });
        Ok(readable.collect())
    }

    /// Every node that has a certificate, with its group.
    pub async fn known_nodes(&mut self) -> Result<Vec<(Name, String)>> {
        let prefix = self.keys.known_nodes();
        let (entries, _) = self.engine.list(&prefix).await?;
        let known = entries.into_iter().filter_map(|entry| {
            let name = entry.key.strip_prefix(&prefix)?.parse().ok()?;
            Some((name, String::from_utf8_lossy(&entry.value).into_owned()))
        });
        Ok(known.collect())
    }

    /// What nodes are to have.
    ///
    /// # Errors
    /// When the engine does not answer, or has a release that cannot be read.
    pub async fn wants(&mut self) -> Result<Wants> {
        let (entries, _) = self.engine.list(&self.keys.watched()).await?;
        let shared = self.keys.shared();
        let mut wants = Wants::default();
        for entry in entries {
            if shared.contains(&entry.key) {
                wants.latest = wants.latest.max(entry.revision);
            }
            match self.keys.read(&entry.key) {
                Some(Watched::Release(subject)) => {
                    wants.releases.insert(subject, read(&entry)?);
                }
                Some(Watched::Freeze) => wants.is_frozen = true,
                Some(Watched::Exception(_)) | None => {}
            }
        }
        Ok(wants)
    }

    /// Puts a content into the engine, if it fits and no URL has it.
    pub async fn put_content(
        &mut self,
        subject: &Subject,
        bytes: Vec<u8>,
        urls: Vec<String>,
    ) -> Result<Content> {
        let content = Content::of(&bytes, urls);
        if content.urls.is_empty() {
            ensure!(
                fits(&bytes),
                "the content has {} bytes, too many for the engine: put it on a web server, and name that with --url",
                bytes.len()
            );
            let key = self.keys.content(subject, &content.sha256);
            self.engine.put(&key, bytes, None).await?;
        }
        Ok(content)
    }

    /// Signs and publishes a release that no node takes yet; a rollback reaches all nodes at once.
    pub async fn publish(&mut self, subject: &Subject, plan: Plan) -> Result<Release> {
        let key = self.signing_key()?;
        if !plan.is_rollback {
            self.ensure_not_frozen().await?;
        }
        let known = self.release(subject).await?;
        let (last, revision) = match &known {
            Some((release, revision)) => (Some(release), *revision),
            None => (None, 0),
        };
        let last_revision = last.map_or(0, |last| last.revision);
        // An engine that was restored may know less than the nodes, which take nothing older than what they have had.
        // How much less is bounded: a stolen node must not use up the numbers.
        let nodes = self.followers(subject).await?.into_iter();
        let had = nodes.filter_map(|node| {
            let own = node.releases.get(&subject.path())?;
            (own.progress != Progress::Refused).then_some(own.revision)
        });
        let had = had.filter(|had| had.saturating_sub(last_revision) <= AHEAD_MAX);
        let had = had.max().unwrap_or_default();
        // What was stopped on its way is nothing to return to.
        let before = last.and_then(|last| {
            let is_whole = last.limit == ALL && last.stopped.is_none();
            let content = is_whole.then(|| last.content.clone());
            content.or_else(|| last.before.clone())
        });
        let before = before.filter(|before| before.sha256 != plan.content.sha256);
        let release = Release {
            revision: last_revision
                .max(had)
                .checked_add(1)
                .context("there is no further revision")?,
            content: plan.content,
            is_rollback: plan.is_rollback,
            signature: String::new(),
            limit: if plan.is_rollback { ALL } else { 0 },
            trial: plan.trial,
            owner: plan.owner,
            reason: plan.reason,
            stopped: None,
            before,
        };
        let release = release.signed(&self.settings.fleet, subject, &key);
        self.put_release(subject, &release, revision).await?;
        Ok(release)
    }

    fn signing_key(&self) -> Result<SigningKey> {
        let path = self.settings.signing_key.as_ref();
        let path = path.context(
            "the settings name no `signing-key` to sign the release; use the operator's settings",
        )?;
        Ok(SigningKey::load(path)?)
    }

    /// Whether nodes take no releases.
    pub async fn is_frozen(&mut self) -> Result<bool> {
        Ok(self.engine.get(&self.keys.freeze()).await?.is_some())
    }

    pub(crate) async fn ensure_not_frozen(&mut self) -> Result<()> {
        if self.is_frozen().await? {
            bail!("the fleet is frozen: `geofence-fleet freeze --off` lets releases go on");
        }
        Ok(())
    }

    async fn put_release(
        &mut self,
        subject: &Subject,
        release: &Release,
        revision: i64,
    ) -> Result<i64> {
        let key = self.keys.release(subject);
        let text = serde_json::to_vec(release)?;
        let done = self.engine.replace(&key, text, revision).await?;
        done.with_context(|| {
            format!(
                "another operator changed {subject} meanwhile: run `geofence-fleet wave show`, and try again"
            )
        })
    }

    /// Changes a release, which must still be the one of this revision.
    pub(crate) async fn change(
        &mut self,
        subject: &Subject,
        revision: u64,
        change: impl FnOnce(&mut Release),
    ) -> Result<Release> {
        let (mut release, at) = self.known_release(subject).await?;
        ensure!(
            release.revision == revision,
            "another operator released revision {} of {subject} meanwhile",
            release.revision
        );
        change(&mut release);
        let key = self.signing_key()?;
        let release = release.signed(&self.settings.fleet, subject, &key);
        self.put_release(subject, &release, at).await?;
        Ok(release)
    }

    /// Stops a release where it is.
    pub async fn stop(&mut self, subject: &Subject, revision: u64, stop: Stop) -> Result<Release> {
        let set = |release: &mut Release| {
            release.limit = 0;
            release.stopped = Some(stop);
        };
        self.change(subject, revision, set).await
    }

    /// The connected nodes that take releases of a subject.
    pub async fn followers(&mut self, subject: &Subject) -> Result<Vec<NodeStatus>> {
        let mut nodes = self.nodes().await?;
        nodes.retain(|node| subject.is_followed_in(node.group.as_ref()));
        Ok(nodes)
    }
}
