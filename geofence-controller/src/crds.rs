//! The definitions of the resources, as `deploy/kubernetes/fleet/crds.yaml` has them.

use anyhow::Result;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;

use crate::resources::{GeofenceException, GeofenceList, GeofencePolicy};

/// All of them.
#[must_use]
pub fn all() -> [CustomResourceDefinition; 3] {
    [
        GeofenceException::crd(),
        GeofenceList::crd(),
        GeofencePolicy::crd(),
    ]
}

/// The same as YAML.
///
/// # Errors
/// YAML can express every definition, so none is expected.
pub fn yaml() -> Result<String> {
    let mut text = "# What `geofence-controller crds` prints; a test compares.\n".to_owned();
    for definition in all() {
        text += "---\n";
        text += &serde_saphyr::to_string(&definition)?;
    }
    Ok(text)
}
