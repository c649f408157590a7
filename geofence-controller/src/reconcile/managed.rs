//! What is the same for every kind of resource: the finalizer, the status, and what follows an error.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use geofence_fleet::backoff::within;
use geofence_user::model::units::UnixSeconds;
use kube::api::{Patch, PatchParams};
use kube::core::ClusterResourceScope;
use kube::runtime::controller::Action;
use kube::runtime::finalizer::{Event, finalizer};
use kube::{Api, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::connection::is_away;
use crate::context::Context;
use crate::resources::{Condition, Finding, Truth};

/// What keeps a resource in the cluster until the fleet no longer has it.
const FINALIZER: &str = "geofence.internal/fleet";

/// When the nodes are looked at again while a change is on its way, and when nothing is.
pub(super) const SOON: Duration = Duration::from_secs(1);
pub(super) const LATER: Duration = Duration::from_secs(30);
/// The longest pause after an error; it begins with a second.
const RETRY: Duration = Duration::from_secs(5);

/// A kind of resource that the fleet follows.
pub(crate) trait Managed:
    Resource<DynamicType = (), Scope = ClusterResourceScope>
    + Clone
    + Debug
    + DeserializeOwned
    + Serialize
    + Send
    + Sync
    + 'static
{
    type Status: Status;

    fn status(&self) -> Option<&Self::Status>;

    /// Makes the fleet what the resource says. Returns when to look again.
    fn apply(
        &self,
        context: &Context,
        status: &mut Self::Status,
    ) -> impl Future<Output = anyhow::Result<Duration>> + Send;

    /// Removes from the fleet what belongs to the resource.
    fn remove(&self, context: &Context) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// The status of a resource.
pub(crate) trait Status: Clone + Default + PartialEq + Serialize + Send + Sync {
    fn conditions(&mut self) -> &mut Vec<Condition>;
    fn observe(&mut self, generation: Option<i64>);
}

/// Puts findings among the conditions of a resource.
pub(super) fn find<K: Managed>(object: &K, status: &mut K::Status, finding: Finding) {
    let generation = object.meta().generation;
    finding.put(status.conditions(), generation, UnixSeconds::now());
}

/// The resource asks for nothing valid, for this reason.
pub(super) fn find_invalid<K: Managed>(object: &K, status: &mut K::Status, message: String) {
    let accepted = Finding::accepted(Truth::False, "Invalid", message);
    find(object, status, accepted);
    let ready = Finding::ready(
        Truth::False,
        "Invalid",
        "not accepted; the condition Accepted says why",
    );
    find(object, status, ready);
}

/// Why a reconciliation has failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    #[error("{0}")]
    Fleet(String),
    #[error("the API server: {0}")]
    Cluster(#[from] kube::Error),
    #[error(transparent)]
    Finalizer(Box<kube::runtime::finalizer::Error<Trouble>>),
}

/// Brings the fleet in line with a resource.
pub(crate) async fn reconcile<K: Managed>(
    object: Arc<K>,
    context: Arc<Context>,
) -> Result<Action, Trouble> {
    let resources = Api::<K>::all(context.client.clone());
    let context = &context;
    let result = finalizer(&resources, FINALIZER, object, |event| async move {
        match event {
            Event::Apply(object) => apply(&*object, context).await,
            Event::Cleanup(object) => remove(&*object, context).await,
        }
    });
    result
        .await
        .map_err(|error| Trouble::Finalizer(Box::new(error)))
}

/// When to try again after an error.
pub(crate) fn retry<K: Managed>(_: Arc<K>, _: &Trouble, _: Arc<Context>) -> Action {
    Action::requeue(SOON + within(RETRY))
}

async fn apply<K: Managed>(object: &K, context: &Context) -> Result<Action, Trouble> {
    let mut status = object.status().cloned().unwrap_or_default();
    let result = object.apply(context, &mut status).await;
    if let Err(error) = &result {
        fail(object, context, &mut status, error).await;
    }
    status.observe(object.meta().generation);
    write(object, context, &status).await?;
    match result {
        Ok(pause) => Ok(Action::requeue(pause)),
        Err(error) => Err(Trouble::Fleet(format!("{error:#}"))),
    }
}

async fn remove<K: Managed>(object: &K, context: &Context) -> Result<Action, Trouble> {
    if let Err(error) = object.remove(context).await {
        let mut status = object.status().cloned().unwrap_or_default();
        fail(object, context, &mut status, &error).await;
        write(object, context, &status).await?;
        return Err(Trouble::Fleet(format!("{error:#}")));
    }
    Ok(Action::await_change())
}

/// The fleet could not be asked, or not be changed: what it does is unknown.
async fn fail<K: Managed>(
    object: &K,
    context: &Context,
    status: &mut K::Status,
    error: &anyhow::Error,
) {
    let reason = if is_away(error) {
        context.engine.lose().await;
        "EngineUnavailable"
    } else {
        "Failed"
    };
    let finding = Finding::ready(Truth::Unknown, reason, format!("{error:#}"));
    find(object, status, finding);
}

/// Writes the status if it has changed. What is empty now is written as null, which removes it.
async fn write<K: Managed>(
    object: &K,
    context: &Context,
    status: &K::Status,
) -> Result<(), Trouble> {
    if object.status() == Some(status) {
        return Ok(());
    }
    let resources = Api::<K>::all(context.client.clone());
    let patch = Patch::Merge(json!({ "status": status }));
    let (name, params) = (object.name_any(), PatchParams::default());
    resources.patch_status(&name, &params, &patch).await?;
    Ok(())
}
