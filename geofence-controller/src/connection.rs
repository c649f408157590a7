//! The connection to the engine, which all resources share.
//!
//! A lost connection is made again by the next reconciliation that needs it, with pauses that double. The settings are
//! read anew then, so a renewed certificate counts without a restart.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use geofence_fleet::backoff::Backoff;
use geofence_fleet::engine::EngineError;
use geofence_fleet::node_status::NodeStatus;
use geofence_fleet::rollout::Fleet;
use geofence_fleet::settings::{Settings, SettingsError};
use geofence_fleet::waves::LOOK;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::{info, warn};

/// The engine cannot be reached.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
struct Away(String);

/// Whether an error says that the engine cannot be reached, and not that what it was asked for is wrong.
#[must_use]
pub(crate) fn is_away(error: &anyhow::Error) -> bool {
    error.is::<Away>()
        || error
            .downcast_ref::<EngineError>()
            .is_some_and(|error| error.is_away() || matches!(error, EngineError::Refused(_)))
}

pub(crate) struct Connection {
    settings: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    fleet: Option<Fleet>,
    /// What the nodes say, and when that was read.
    nodes: Option<(Instant, Arc<Vec<NodeStatus>>)>,
    backoff: Backoff,
    /// No connection is tried before this time, because the last one failed.
    refused: Option<(Instant, Away)>,
}

impl Connection {
    /// Reads the settings, but does not connect yet.
    pub(crate) fn new(settings: &Path) -> Result<Self, SettingsError> {
        Settings::load(settings)?;
        Ok(Self {
            settings: settings.to_owned(),
            state: Mutex::default(),
        })
    }

    pub(crate) async fn is_connected(&self) -> bool {
        self.state.lock().await.fleet.is_some()
    }

    /// The fleet as an operator reaches it.
    pub(crate) async fn fleet(&self) -> Result<Fleet> {
        let mut state = self.state.lock().await;
        state.connect(&self.settings).await
    }

    /// What the connected nodes say. All resources together read it once a second.
    pub(crate) async fn nodes(&self) -> Result<Arc<Vec<NodeStatus>>> {
        let mut state = self.state.lock().await;
        let now = Instant::now();
        if let Some((read, nodes)) = &state.nodes
            && now.saturating_duration_since(*read) < LOOK
        {
            return Ok(Arc::clone(nodes));
        }
        let nodes = state.connect(&self.settings).await?.nodes().await?;
        let nodes = Arc::new(nodes);
        state.nodes = Some((now, Arc::clone(&nodes)));
        Ok(nodes)
    }

    /// The engine has not answered: the next one that needs it connects anew.
    pub(crate) async fn lose(&self) {
        let mut state = self.state.lock().await;
        if state.fleet.take().is_some() {
            warn!("the connection to the engine is lost");
        }
        state.nodes = None;
    }
}

impl State {
    async fn connect(&mut self, settings: &Path) -> Result<Fleet> {
        if let Some(fleet) = &self.fleet {
            return Ok(fleet.clone());
        }
        let now = Instant::now();
        if let Some((until, away)) = &self.refused
            && now < *until
        {
            return Err(away.clone().into());
        }
        let settings = Settings::load(settings)?;
        match Fleet::connect(settings).await {
            Ok(fleet) => {
                info!("connected to {}", fleet.engine.endpoint());
                self.backoff.reset();
                self.refused = None;
                self.fleet = Some(fleet.clone());
                Ok(fleet)
            }
            Err(error) => {
                let away = Away(format!("{error:#}"));
                warn!("{away}");
                let until = Instant::now() + self.backoff.pause();
                self.refused = Some((until, away.clone()));
                Err(away.into())
            }
        }
    }
}
