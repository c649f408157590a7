//! The daemon: everything that `geofence run` does once the filter is attached. It reloads, holds trials, follows
//! interfaces and list events, and answers requests. `serve` and `cli` call it; it calls neither.

mod active;
mod attempts;
pub mod candidate;
pub mod clock_watch;
mod config_source;
mod counts;
pub mod event_names;
pub mod event_watch;
pub mod events;
mod explain;
pub mod facts;
pub mod file_watch;
pub mod heartbeat;
pub mod history;
mod interface_state;
pub mod interfaces;
mod privilege;
pub mod rates;
mod recent_counts;
pub mod recovery;
mod refusals;
mod reload;
pub mod runtime_exceptions;
pub mod service_status;
mod snapshot;
mod start;
mod state;
pub mod state_watch;
mod status;
mod sync;
mod trial;
mod unanswered;

pub use attempts::Backoff;
pub use config_source::ConfigSource;
pub use explain::Explanation;
pub use interface_state::{InterfaceState, InterfaceStatus};
pub use privilege::Privilege;
pub use recent_counts::{Counted, NewCounts, Sample};
pub use reload::ReloadOptions;
pub use runtime_exceptions::{Change, ExceptionView, RuntimeExceptionStore};
pub use start::Start;
pub use state::Daemon;
pub use trial::{Confirmation, WINDOW};
