//! The exit codes of xtask besides 0 for success.

/// The command worked, and the answer is no: a lint finding, a failed test.
pub(crate) const NO: u8 = 1;
/// The command could not do its work.
pub(crate) const TROUBLE: u8 = 2;
