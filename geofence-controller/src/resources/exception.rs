//! `GeofenceException`: a source that is let in on every node.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::condition::Condition;

/// What is let in, for whom and how long.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "geofence.internal",
    version = "v1alpha1",
    kind = "GeofenceException",
    plural = "geofenceexceptions",
    shortname = "gfe",
    category = "geofence",
    status = "ExceptionStatus",
    derive = "PartialEq",
    doc = "Lets a source in on every node although a country rule or a list blocks it. \
           Nodes call it fleet-k8s-NAME.",
    validation = Rule::new("size(self.metadata.name) <= 54").message("the name has at most 54 characters"),
    printcolumn(name = "Owner", type_ = "string", json_path = ".spec.owner"),
    printcolumn(name = "Until", type_ = "string", json_path = ".status.until"),
    printcolumn(name = "In force", type_ = "integer", json_path = ".status.nodes"),
    printcolumn(name = "Connected", type_ = "integer", json_path = ".status.connectedNodes"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Why", type_ = "string", json_path = ".spec.reason", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(
    validation = Rule::new("size(self.ports) == 0 || size(self.protocols) > 0").message("ports need protocols"),
    validation = Rule::new("!(has(self.expires) && has(self.until))").message("give either expires or until")
)]
#[serde(rename_all = "camelCase")]
pub struct GeofenceExceptionSpec {
    /// Sources: prefixes, addresses, countries, groups of countries or autonomous systems.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 64)))]
    pub from: Vec<String>,
    /// Destinations: tenants, prefixes, addresses, or "any".
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 64)))]
    pub to: Vec<String>,
    /// Only these protocols instead of all traffic.
    #[serde(default)]
    #[schemars(length(max = 6))]
    pub protocols: Vec<Protocol>,
    /// Only these ports of the protocols: 443, or a range such as 9000-9010.
    #[serde(default)]
    #[schemars(
        length(max = 64),
        inner(length(max = 11), regex(pattern = r"^[0-9]{1,5}(-[0-9]{1,5})?$"))
    )]
    pub ports: Vec<String>,
    /// Person or team responsible for the exception.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^\S.*$"))]
    pub owner: String,
    /// Why the exception exists.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^\S.*$"))]
    pub reason: String,
    /// Expires this long after the resource was made: 30d, 12h, 90m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = r"^([0-9]+(s|m|h|d|w))+$"))]
    pub expires: Option<String>,
    /// Expires at the end of this day (UTC), or at a time with its zone: 2027-03-31T18:00:00+02:00.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 64),
        regex(pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ].+)?$")
    )]
    pub until: Option<String>,
}

/// A protocol that exceptions know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Tcp,
    Udp,
    Icmp,
    Esp,
    Gre,
    Sctp,
}

impl Protocol {
    /// As the command and the configuration write it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
            Self::Esp => "esp",
            Self::Gre => "gre",
            Self::Sctp => "sctp",
        }
    }
}

/// On how many nodes an exception is in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExceptionStatus {
    /// The generation of the resource that this is about.
    pub observed_generation: Option<i64>,
    /// What nodes call it.
    pub id: Option<String>,
    /// The engine's revision that has written it.
    pub revision: Option<i64>,
    /// When it expires.
    pub until: Option<String>,
    /// On how many connected nodes it is in force.
    pub nodes: Option<i64>,
    /// How many nodes are connected.
    pub connected_nodes: Option<i64>,
    /// The first nodes that refuse it, and why.
    pub refused: Option<Vec<Refusal>>,
    #[serde(default)]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// A node that refuses an exception.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refusal {
    pub node: String,
    pub message: String,
}
