//! The Kubernetes front end of a fleet.
//!
//! `GeofencePolicy`, `GeofenceException` and `GeofenceList` are resources of a cluster. The controller makes of each
//! what `geofence-fleet` would write into the engine by command, and says in its status what the nodes report. The
//! engine stays the only source for nodes: without the cluster, and without the controller, nothing changes on any
//! node.

pub mod cli;
mod connection;
mod context;
pub mod crds;
mod metrics;
mod reconcile;
pub mod resources;
mod run;
