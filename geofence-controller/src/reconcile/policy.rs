//! Policies: the release of a group.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use geofence_fleet::keys::Subject;
use geofence_fleet::release::Content;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, ResourceExt as _};

use super::managed::Managed;
use super::mapping;
use super::release::{self, Wanted};
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
        release::apply(self, context, status, wanted).await
    }

    async fn remove(&self, context: &Context) -> Result<()> {
        release::abandon(context, self.subject(), &self.owner()).await
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
