//! Runtime exceptions: what a command changes, what is stored and recorded of it, and what is shown.

mod apply;
mod audit_log;
mod change;
mod promises;
mod store;
mod view;

pub use apply::CHANGES_MAX;
pub use audit_log::Caller;
pub use change::Change;
pub(super) use promises::Promises;
pub use store::RuntimeExceptionStore;
pub use view::ExceptionView;
pub(super) use view::summary;
