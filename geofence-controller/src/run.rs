//! Follows the resources until a signal ends it. Every step can be repeated, so nothing needs to be finished then.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use futures_util::StreamExt as _;
use geofence_fleet::scrape;
use geofence_user::model::text::with_causes;
use kube::runtime::Controller;
use kube::runtime::controller::{Config, Error};
use kube::runtime::watcher;
use kube::{Api, Client};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use crate::connection::Connection;
use crate::context::Context;
use crate::reconcile::{Managed, reconcile, retry};
use crate::resources::{GeofenceException, GeofenceList, GeofencePolicy};

/// How many resources of a kind are compared with the fleet at the same time.
const AT_ONCE: u16 = 8;

pub(crate) async fn run(settings: &Path, listen: Option<SocketAddr>) -> Result<()> {
    let engine = Connection::new(settings)?;
    let client = Client::try_default().await;
    let client = client.context(
        "cannot tell which cluster this is: run it in a pod with a service account, or name a file in KUBECONFIG",
    )?;
    let context = Arc::new(Context::new(client, engine));
    if let Some(address) = listen {
        let listener = TcpListener::bind(address).await;
        let listener = listener.with_context(|| format!("cannot listen on {address}"))?;
        let context = Arc::clone(&context);
        let gather = move || {
            let context = Arc::clone(&context);
            async move {
                context
                    .metrics
                    .registry(context.engine.is_connected().await)
            }
        };
        tokio::spawn(scrape::serve(listener, gather));
    }
    let mut terminated = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupted = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    info!("following the resources of the cluster");
    tokio::select! {
        () = follow::<GeofenceException>(&context) => {}
        () = follow::<GeofenceList>(&context) => {}
        () = follow::<GeofencePolicy>(&context) => {}
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    info!("ended; what the fleet has stays");
    Ok(())
}

/// Follows the resources of a kind. The watch goes on after every error, with pauses that double.
async fn follow<K: Managed>(context: &Arc<Context>) {
    let resources = Api::<K>::all(context.client.clone());
    let controller = Controller::new(resources, watcher::Config::default())
        .with_config(Config::default().concurrency(AT_ONCE));
    let results = controller.run(reconcile::<K>, retry::<K>, Arc::clone(context));
    let kind = K::kind(&());
    results
        .for_each(|result| {
            context.metrics.count(&kind, result.is_ok());
            match result {
                Ok(_) => {}
                Err(Error::ReconcilerFailed(error, object)) => {
                    let name = &object.name;
                    warn!("{kind}/{name}: {}", with_causes(&error));
                }
                Err(error) => warn!("{kind}: {}", with_causes(&error)),
            }
            std::future::ready(())
        })
        .await;
}
