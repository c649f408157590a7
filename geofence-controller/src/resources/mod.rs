//! The resources, as the cluster keeps them. Their schemas are made from these types.
//!
//! They belong to the whole cluster and to no namespace. Each changes every node of a fleet, so only a right that is
//! granted for the whole cluster may allow it; the owner of a namespace is no operator of the fleet.
//!
//! The group is `geofence.internal`. The domain of a group keeps it apart from those of others, and the top-level
//! domain `internal` is reserved for private use: no registry sells a name there whose owner could publish a resource
//! like ours.

mod condition;
#[expect(
    unreachable_pub,
    reason = "the derive of the schema makes a second struct"
)]
mod exception;
#[expect(
    unreachable_pub,
    reason = "the derive of the schema makes a second struct"
)]
mod list;
#[expect(
    unreachable_pub,
    reason = "the derive of the schema makes a second struct"
)]
mod policy;
mod release_status;

pub use condition::{Condition, Finding, Truth};
pub use exception::{ExceptionStatus, GeofenceException, GeofenceExceptionSpec, Protocol, Refusal};
pub use list::{GeofenceList, GeofenceListSpec, Remote};
pub use policy::{ConfigMapKey, GeofencePolicy, GeofencePolicySpec};
pub use release_status::{ReleaseStatus, Stopped};
