//! `GeofenceList`: a list of addresses that policies name.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::release_status::ReleaseStatus;

/// A list that every node keeps.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "geofence.internal",
    version = "v1alpha1",
    kind = "GeofenceList",
    plural = "geofencelists",
    shortname = "gfl",
    category = "geofence",
    status = "ReleaseStatus",
    derive = "PartialEq",
    doc = "A third-party list. Nodes keep it under the name of the resource, as list/NAME below the agent's directory, \
           where a policy names it.",
    validation = Rule::new("size(self.metadata.name) <= 64").message("the name has at most 64 characters"),
    printcolumn(name = "Revision", type_ = "integer", json_path = ".status.revision"),
    printcolumn(name = "Wave", type_ = "string", json_path = ".status.wave"),
    printcolumn(name = "In use", type_ = "integer", json_path = ".status.nodes"),
    printcolumn(name = "Connected", type_ = "integer", json_path = ".status.connectedNodes"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(validation = Rule::new("has(self.text) != has(self.remote)").message("give either text or remote"))]
#[serde(rename_all = "camelCase")]
pub struct GeofenceListSpec {
    /// The list itself, up to 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    pub text: Option<String>,
    /// Where nodes fetch it instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<Remote>,
    /// Why. A changed reason sends the list out again, also one that was stopped.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^\S.*$"))]
    pub reason: String,
    /// Begins no release and no further wave while it is true.
    #[serde(default)]
    pub paused: bool,
    /// The revision of a release that this list may replace although a command has made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub replaces_revision: Option<i64>,
}

/// A content on a web server. Nodes use it only if it has this digest and this size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Remote {
    /// Nodes try one after the other.
    #[schemars(
        length(min = 1, max = 8),
        inner(length(max = 2048), regex(pattern = r"^https://[^\s]+$"))
    )]
    pub urls: Vec<String>,
    /// The digest that `sha256sum` prints.
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
    pub sha256: String,
    /// How many bytes it has.
    #[schemars(range(min = 1, max = 536_870_912))]
    pub size: i64,
}
