//! The agent of a node: it follows the engine, and asks the daemon for what the fleet wants.
//!
//! Four tasks share what is wanted. One follows the engine, one brings exceptions and bans in line, one takes releases,
//! and one reports. A task that cannot do its work now tries again; none of them ends, and none waits for another.

mod confine;
mod daemon;
mod exceptions;
mod follow;
mod gate;
mod metrics;
mod releases;
mod report;
mod sample;
mod shared;
mod steps;
mod store;
mod traffic;

use std::sync::Arc;

use anyhow::{Context as _, Result};
use tracing::{info, warn};

use crate::scrape;
use crate::settings::Settings;
use crate::signature::VerifyKey;
use shared::Shared;
use store::Store;

/// Runs until the process ends.
///
/// # Errors
/// When the settings do not name a node, or a file that they name cannot be used.
pub async fn run(settings: Settings) -> Result<()> {
    let node = settings.node.clone().context(
        "the settings name no `node`; use those that `geofence-fleet bootstrap node` writes",
    )?;
    let verify_key = VerifyKey::load(&settings.verify_key)?;
    let store = Store::open(&settings.state)?;
    let listener = match settings.listen {
        Some(address) => Some(
            tokio::net::TcpListener::bind(address)
                .await
                .with_context(|| format!("cannot listen on {address}"))?,
        ),
        None => None,
    };
    match confine::confine(&settings) {
        Ok(true) => {}
        Ok(false) => warn!("this kernel does not support Landlock, so the agent runs unconfined"),
        Err(error) => warn!("cannot confine the agent: {error}"),
    }
    let shared = Arc::new(Shared::new(settings, node, verify_key, store)?);
    info!(
        "the agent of {} follows the fleet {}",
        shared.node, shared.settings.fleet
    );
    if let Some(listener) = listener {
        let shared = Arc::clone(&shared);
        let gather = move || std::future::ready(metrics::registry(&shared));
        tokio::spawn(scrape::serve(listener, gather));
    }
    tokio::join!(
        follow::follow(Arc::clone(&shared)),
        exceptions::reconcile(Arc::clone(&shared)),
        releases::take(Arc::clone(&shared)),
        sample::sample(Arc::clone(&shared)),
        report::report(Arc::clone(&shared)),
    );
    Ok(())
}
