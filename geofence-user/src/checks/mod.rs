//! Checks that run before something takes effect, or on request: they look and report, and change nothing.

pub mod diff;
pub mod doctor;
pub mod driver_errors;
pub mod finding;
pub mod lockout;
pub mod sanity;
pub mod topology;
