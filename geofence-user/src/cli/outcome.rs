//! How a command ended, for the exit code.

/// How a command ended without an error; an error is exit code 2, or for `geofence run` one of those in `exit_code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done, or the packet passes. Exit code 0.
    Yes,
    /// The answer is no, or the packet is dropped. Exit code 1.
    No,
}
