//! What a new policy changes, compared with the one in use.
//!
//! Verdicts are compared by the images, so the policy in use may be that of a running filter whose files are gone. What
//! no image holds (interfaces, addresses to listen on) is compared if both configurations are known.
//!
//! Pure, except for `counters`, which asks a running filter for its metrics.

mod counters;
mod lists;
mod policy_diff;
mod services;
mod settings;
mod side;
mod traffic;
mod verdicts;

pub use counters::{Counters, CountersError, counters};
pub use lists::ListChange;
pub use policy_diff::Diff;
pub use services::ServiceChange;
pub use settings::Setting;
pub use side::Side;
pub use traffic::{Affected, affected};
pub use verdicts::{Treatment, VerdictChange};
