//! What every reconciliation needs.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use geofence_fleet::keys::Subject;
use geofence_fleet::waves::Rollout;
use kube::Client;

use crate::connection::Connection;
use crate::metrics::Metrics;

pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) engine: Connection,
    pub(crate) metrics: Metrics,
    rollouts: Mutex<HashMap<Subject, Rollout>>,
}

impl Context {
    pub(crate) fn new(client: Client, engine: Connection) -> Self {
        Self {
            client,
            engine,
            metrics: Metrics::default(),
            rollouts: Mutex::default(),
        }
    }

    /// The releases that this controller takes through their waves.
    pub(crate) fn rollouts(&self) -> MutexGuard<'_, HashMap<Subject, Rollout>> {
        self.rollouts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
