//! What a request asks of the page, by the parameters of its address.

use serde::Deserialize;

/// What a request asks of the page. A parameter that is not known is passed over.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Query {
    /// The country whose packets are shown.
    pub(super) country: String,
    /// "passed": the map is about packets that passed.
    pub(super) map: String,
    /// The packet to explain.
    pub(super) from: String,
    pub(super) from_port: String,
    pub(super) to: String,
    pub(super) to_port: String,
    pub(super) protocol: String,
}
