//! Asks the daemon of this machine.

use geofence_user::config::ExceptionSpec;
use geofence_user::daemon::{Change, ExceptionView};
use geofence_user::os::instance::Instance;
use geofence_user::serve::control::{Answer, Request, ask_agent};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Why the daemon did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DaemonError {
    /// No daemon answers.
    #[error("{0}")]
    Away(String),
    /// It has refused, for this cause.
    #[error("{text}")]
    Refused { cause: String, text: String },
}

impl DaemonError {
    /// Whether the same request may succeed a moment later.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Away(_) => true,
            // While a policy is on trial, nothing else changes.
            Self::Refused { cause, .. } => cause == "trial",
        }
    }
}

/// The daemon of this machine.
#[derive(Clone, Debug)]
pub(super) struct DaemonClient {
    instance: Instance,
}

/// An exception or a ban that the daemon has.
#[derive(Clone, Debug)]
pub(super) struct Present {
    pub(super) spec: ExceptionSpec,
    /// Whether a command made it, and not the configuration.
    pub(super) is_runtime: bool,
}

#[derive(Deserialize)]
struct All {
    exceptions: Vec<ExceptionView>,
}

/// What became of changes.
#[derive(Deserialize)]
struct Changed {
    refused: Vec<Refused>,
}

#[derive(Deserialize)]
struct Refused {
    id: String,
    error: String,
}

impl DaemonClient {
    pub(super) fn of(instance: Instance) -> Self {
        Self { instance }
    }

    pub(super) async fn ask(&self, request: Request) -> Result<Value, DaemonError> {
        let instance = self.instance.clone();
        let asked = tokio::task::spawn_blocking(move || ask_agent(&instance, &request)).await;
        match asked {
            Ok(Ok(Answer::Done(value))) => Ok(value),
            Ok(Ok(Answer::Refused { cause, error })) => {
                Err(DaemonError::Refused { cause, text: error })
            }
            Ok(Err(error)) => Err(DaemonError::Away(error.to_string())),
            Err(error) => Err(DaemonError::Away(error.to_string())),
        }
    }

    async fn read<T: DeserializeOwned>(&self, request: Request) -> Result<T, DaemonError> {
        let answer = self.ask(request).await?;
        T::deserialize(answer).map_err(|error| DaemonError::Away(error.to_string()))
    }

    /// Changes exceptions and bans; returns the names of those that were refused, and why, in order.
    pub(super) async fn change(
        &self,
        changes: Vec<Change>,
    ) -> Result<Vec<(String, String)>, DaemonError> {
        let Changed { refused } = self.read(Request::Changes { changes }).await?;
        let refused = refused.into_iter().map(|one| (one.id, one.error));
        Ok(refused.collect())
    }

    /// Every exception and every ban.
    pub(super) async fn exceptions(&self) -> Result<Vec<Present>, DaemonError> {
        let mut all = Vec::new();
        for bans in [false, true] {
            let read: All = self.read(Request::Exceptions { id: None, bans }).await?;
            all.extend(read.exceptions.into_iter().map(|view| Present {
                spec: view.spec,
                is_runtime: view.granted,
            }));
        }
        Ok(all)
    }
}
