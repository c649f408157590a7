//! `GeofencePolicy`: the configuration of a group of nodes.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::release_status::ReleaseStatus;

/// What the nodes of a group have as their configuration.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "geofence.internal",
    version = "v1alpha1",
    kind = "GeofencePolicy",
    plural = "geofencepolicies",
    shortname = "gfp",
    category = "geofence",
    status = "ReleaseStatus",
    derive = "PartialEq",
    doc = "The configuration of a group of nodes. It reaches them in waves; a node that fails returns to the one \
           before, and the wave stops.",
    validation = Rule::new("size(self.metadata.name) <= 64").message("the name has at most 64 characters"),
    printcolumn(name = "Group", type_ = "string", json_path = ".spec.group"),
    printcolumn(name = "Revision", type_ = "integer", json_path = ".status.revision"),
    printcolumn(name = "Wave", type_ = "string", json_path = ".status.wave"),
    printcolumn(name = "In use", type_ = "integer", json_path = ".status.nodes"),
    printcolumn(
        name = "Connected",
        type_ = "integer",
        json_path = ".status.connectedNodes"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(
        name = "Stopped by",
        type_ = "string",
        json_path = ".status.stopped.node",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[x_kube(validation = Rule::new("has(self.text) != has(self.configMap)").message("give either text or configMap"))]
#[serde(rename_all = "camelCase")]
pub struct GeofencePolicySpec {
    /// The group of nodes. A group has one policy.
    #[schemars(regex(pattern = r"^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}$"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("`group` cannot change: create another policy"))]
    pub group: String,
    /// The configuration, as geofence.toml has it. What is about a single node stays in the files of its conf.d.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    pub text: Option<String>,
    /// Where the configuration is instead: in a ConfigMap of the controller's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapKey>,
    /// Why. A changed reason sends the policy out again, also one that was stopped.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^\S.*$"))]
    pub reason: String,
    /// How long a node observes itself before it confirms.
    #[serde(default = "observe")]
    #[schemars(length(max = 32), regex(pattern = r"^([0-9]+(ms|s|m|h))+$"))]
    pub observe: String,
    /// Time after which a node returns to the previous policy unless it confirms; at least 15 s longer than `observe`.
    #[serde(default = "confirm_within")]
    #[schemars(length(max = 32), regex(pattern = r"^([0-9]+(ms|s|m|h))+$"))]
    pub confirm_within: String,
    /// Share of the usual packets of each reason that must still pass; 0 does not look at packets.
    #[serde(default = "band")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub band: f64,
    /// Begins no release and no further wave while it is true.
    #[serde(default)]
    pub paused: bool,
    /// The revision of a release that this policy may replace although another one, or a command, has made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub replaces_revision: Option<i64>,
}

/// A key of a ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigMapKey {
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    #[serde(default = "key")]
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

fn observe() -> String {
    "10s".to_owned()
}

fn confirm_within() -> String {
    "60s".to_owned()
}

fn band() -> f64 {
    0.5
}

fn key() -> String {
    "geofence.toml".to_owned()
}
