//! Policies: the release of a group.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use geofence_fleet::keys::Subject;
use geofence_fleet::release::Content;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, ResourceExt as _};

use super::managed::{LATER, Managed, find};
use super::mapping;
use super::release::{Wanted, abandon, invalid};
use crate::context::Context;
use crate::resources::{ConfigMapKey, GeofencePolicy, ReleaseStatus};

impl Managed for GeofencePolicy {
    type Status = ReleaseStatus;

    fn status(&self) -> Option<&ReleaseStatus> {
        self.status.as_ref()
    }

    async fn apply(&self, context: &Context, status: &mut ReleaseStatus) -> Result<Duration> {
        let text = self.text(context).await?;
        let wanted = text.and_then(|text| self.wanted(text));
        let (findings, pause) = match wanted {
            Ok(wanted) => wanted.advance(context, status).await?,
            Err(error) => (invalid(&error).to_vec(), LATER),
        };
        for finding in findings {
            find(self, status, finding);
        }
        Ok(pause)
    }

    async fn remove(&self, context: &Context) -> Result<()> {
        match self.subject() {
            Ok(subject) => abandon(context, &subject, &self.owner()).await,
            // A group that is none has no release.
            Err(_) => Ok(()),
        }
    }
}

impl GeofencePolicy {
    fn owner(&self) -> String {
        format!("GeofencePolicy/{}", self.name_any())
    }

    fn subject(&self) -> Result<Subject> {
        Ok(Subject::Policy(self.spec.group.parse()?))
    }

    /// The configuration. The outer error is that the cluster does not answer, the inner one that there is none.
    async fn text(&self, context: &Context) -> Result<Result<String>> {
        let (map, key) = match (&self.spec.text, &self.spec.config_map) {
            (Some(text), None) => return Ok(Ok(text.clone())),
            (None, Some(ConfigMapKey { name, key })) => (name, key),
            _ => return Ok(Err(anyhow::anyhow!("give either `text` or `configMap`"))),
        };
        let namespace = context.client.default_namespace();
        let maps = Api::<ConfigMap>::namespaced(context.client.clone(), namespace);
        let found = maps.get_opt(map).await.context("reading a ConfigMap")?;
        let text = found.and_then(|found| found.data?.remove(key));
        let missing = || {
            format!("there is no ConfigMap {map} with the key {key} in the namespace {namespace}")
        };
        Ok(text.with_context(missing))
    }

    fn wanted(&self, text: String) -> Result<Wanted> {
        let bytes = mapping::policy(text)?;
        if self.spec.reason.trim().is_empty() {
            bail!("`reason` is empty: write why");
        }
        Ok(Wanted {
            subject: self.subject()?,
            owner: self.owner(),
            content: Content::of(&bytes, Vec::new()),
            bytes: Some(bytes),
            trial: mapping::trial(&self.spec)?,
            reason: self.spec.reason.clone(),
            is_paused: self.spec.paused,
            replaces: self.spec.replaces_revision,
        })
    }
}
