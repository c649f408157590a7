//! Exceptions and bans of the fleet: how they get into the engine, and on how many nodes they are in force.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use geofence_user::config::ExceptionSpec;
use geofence_user::model::units::UnixSeconds;
use geofence_user::serve::control::FLEET;

use crate::keys::{BadName, Name};
use crate::node_status::NodeStatus;
use crate::rollout::Fleet;

/// What the names of exceptions begin with that the Kubernetes front end makes, without `fleet-`. Names divide them
/// from those of the operator's commands, so neither ever changes what the other has made.
pub const KUBERNETES: &str = "k8s-";

/// How long what has expired stays in the engine.
const KEPT: Duration = Duration::from_secs(86_400);

/// The name that nodes have for an exception of the fleet.
///
/// # Errors
/// When the text is no name.
pub fn exception_id(name: &str) -> Result<String, BadName> {
    let name: Name = name.parse()?;
    Ok(format!("{FLEET}{name}"))
}

/// Checks an exception or a ban as far as that is possible without a node, and makes a day of its end a moment, which
/// is the same one on every node.
///
/// # Errors
/// All that is wrong with it.
pub fn checked(spec: ExceptionSpec, now: UnixSeconds) -> Result<ExceptionSpec> {
    spec.check_alone(now)?;
    let until = spec.expiry()?;
    Ok(ExceptionSpec {
        until: until.map(|until| until.to_string()),
        ..spec
    })
}

/// How far a change of an exception or a ban has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// How many nodes are connected, and on how many of them the change is in force.
    pub nodes: usize,
    pub done: usize,
    /// Connected nodes that have not seen it yet.
    pub behind: Vec<Name>,
    /// Nodes that refuse it, and why.
    pub refused: Vec<(Name, String)>,
}

impl Reach {
    /// What these nodes say of the exception that a revision of the engine has written or removed.
    #[must_use]
    pub fn of(nodes: &[NodeStatus], id: &str, revision: i64) -> Self {
        let (seen, behind): (Vec<_>, Vec<_>) =
            nodes.iter().partition(|node| node.revision >= revision);
        let refused = seen
            .iter()
            .filter_map(|node| Some((node.node.clone(), node.refused.get(id)?.clone())));
        let refused: Vec<_> = refused.collect();
        Self {
            nodes: nodes.len(),
            done: seen.len().saturating_sub(refused.len()),
            behind: behind.iter().map(|node| node.node.clone()).collect(),
            refused,
        }
    }
}

impl Fleet {
    fn exception_key(&self, id: &str) -> String {
        if id.starts_with(FLEET) {
            format!("{}{id}", self.keys.exceptions())
        } else {
            format!("{}{id}", self.keys.bans())
        }
    }

    /// An exception or a ban, and the engine's revision of it; no exception if what is there cannot be read.
    ///
    /// # Errors
    /// As everywhere here: why the engine did not do it.
    pub async fn exception(&mut self, id: &str) -> Result<Option<(Option<ExceptionSpec>, i64)>> {
        let entry = self.engine.get(&self.exception_key(id)).await?;
        Ok(entry.map(|one| (serde_json::from_slice(&one.value).ok(), one.revision)))
    }

    /// Adds an exception of a new name, or a ban. Returns the engine's revision.
    pub async fn add_exception(&mut self, spec: &ExceptionSpec) -> Result<i64> {
        let known = self.exception(&spec.id).await?;
        let read = known.as_ref().and_then(|(spec, _)| spec.as_ref());
        let is_live = read.is_some_and(|spec| {
            let end = spec.expiry().ok().flatten();
            end.is_none_or(|end| end > UnixSeconds::now())
        });
        if is_live && !spec.is_ban() {
            bail!(
                "the fleet has an exception {}; remove it first, or choose another name",
                spec.id
            );
        }
        self.replace_exception(spec, known.map_or(0, |(_, revision)| revision))
            .await
    }

    /// Writes an exception or a ban if the one before still is of this revision; zero if there must be none.
    pub async fn replace_exception(&mut self, spec: &ExceptionSpec, revision: i64) -> Result<i64> {
        let key = self.exception_key(&spec.id);
        let text = serde_json::to_vec(spec)?;
        let done = self.engine.replace(&key, text, revision).await?;
        done.context("another operator changed it meanwhile; try again")
    }

    /// Removes an exception or a ban. Returns the engine's revision, or nothing if there was none.
    pub async fn remove_exception(&mut self, id: &str) -> Result<Option<i64>> {
        Ok(self.engine.delete(&self.exception_key(id)).await?)
    }

    /// Deletes what has expired a day ago: the kernel has ended it long since.
    pub async fn forget_expired(&mut self) -> Result<()> {
        let before = UnixSeconds::now().minus(KEPT);
        for prefix in [self.keys.exceptions(), self.keys.bans()] {
            let (entries, _) = self.engine.list(&prefix).await?;
            for entry in entries {
                let spec = serde_json::from_slice::<ExceptionSpec>(&entry.value).ok();
                let end = spec.and_then(|spec| spec.expiry().ok().flatten());
                if end.is_some_and(|end| end < before) {
                    self.engine.delete_old(&entry).await?;
                }
            }
        }
        Ok(())
    }
}
