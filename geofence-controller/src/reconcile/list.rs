//! Lists: a release for every node.

use std::time::Duration;

use anyhow::{Result, bail};
use geofence_fleet::keys::Subject;
use geofence_fleet::release::{Content, Trial};
use kube::ResourceExt as _;

use super::managed::Managed;
use super::mapping;
use super::release::{self, Wanted};
use crate::context::Context;
use crate::resources::{GeofenceList, ReleaseStatus};

impl Managed for GeofenceList {
    type Status = ReleaseStatus;

    fn status(&self) -> Option<&ReleaseStatus> {
        self.status.as_ref()
    }

    async fn apply(&self, context: &Context, status: &mut ReleaseStatus) -> Result<Duration> {
        release::apply(self, context, status, self.wanted()).await
    }

    async fn remove(&self, context: &Context) -> Result<()> {
        release::abandon(context, self.subject(), &self.owner()).await
    }
}

impl GeofenceList {
    fn owner(&self) -> String {
        format!("GeofenceList/{}", self.name_any())
    }

    fn subject(&self) -> Result<Subject> {
        Ok(Subject::List(self.name_any().parse()?))
    }

    fn wanted(&self) -> Result<Wanted> {
        let (content, bytes) = match (&self.spec.text, &self.spec.remote) {
            (Some(text), None) => {
                let bytes = mapping::small(text.clone())?;
                (Content::of(&bytes, Vec::new()), Some(bytes))
            }
            (None, Some(remote)) => (mapping::remote(remote)?, None),
            _ => bail!("give either `text` or `remote`"),
        };
        Ok(Wanted {
            subject: self.subject()?,
            owner: self.owner(),
            content,
            bytes,
            trial: Trial::NONE,
            reason: self.spec.reason.clone(),
            is_paused: self.spec.paused,
            replaces: self.spec.replaces_revision,
        })
    }
}
