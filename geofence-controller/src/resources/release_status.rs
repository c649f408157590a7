//! The status of what reaches nodes in waves: a policy or a list.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::condition::Condition;

/// How far a release is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseStatus {
    /// The generation of the resource that this is about.
    pub observed_generation: Option<i64>,
    /// The revision of the release that was made of it.
    pub revision: Option<i64>,
    /// The digest of its content.
    pub sha256: Option<String>,
    /// The wave that is on its way, and how many there are.
    pub wave: Option<String>,
    /// How many connected nodes have it in use.
    pub nodes: Option<i64>,
    /// How many nodes are connected that are to have it.
    pub connected_nodes: Option<i64>,
    /// Why no further node takes it.
    pub stopped: Option<Stopped>,
    #[serde(default)]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// Why a release went no further.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stopped {
    /// The node that failed, if one did.
    pub node: Option<String>,
    /// The gate that it failed.
    pub gate: Option<String>,
    pub message: String,
}
