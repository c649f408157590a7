//! What a new policy changes, compared with the one in use.
//!
//! Decisions are compared by the images, for everyone and for each tenant, so the policy in use may be that of a
//! running filter whose files are gone. What no image holds (interfaces, owners of exceptions) is compared key by key,
//! if both configurations are known, and named as not compared otherwise.
//!
//! Pure, except for `counters`, which asks a running filter for its metrics.

mod counters;
mod described;
mod destination;
mod lists;
mod policy_diff;
mod services;
mod settings;
mod side;
mod tenants;
mod traffic;
mod verdicts;

pub use counters::{Counters, CountersError, counters};
pub use described::{Described, Entry, KeyValue, Value};
pub use lists::ListChange;
pub use policy_diff::Diff;
pub use services::ServiceChange;
pub use settings::{EntryChange, Setting};
pub use side::Side;
pub use tenants::TenantChange;
pub use traffic::{Affected, affected};
pub use verdicts::{Treatment, VerdictChange};
