//! Why a policy did not replace the active one, or a command was refused.
//!
//! Causes are a closed set: metrics count them, and the control protocol spells them.

use super::text::printable;

/// The kind of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The configuration has an error.
    Configuration,
    /// The change needs a restart, because it touches what is fixed while the filter runs.
    Restart,
    /// A database cannot be read.
    Database,
    /// A list cannot be read, and no earlier copy of it is stored.
    List,
    /// The data failed the sanity check.
    Sanity,
    /// The image does not fit into its slot.
    Capacity,
    /// The policy would lock out a host this machine depends on.
    Lockout,
    /// Another policy is on trial, or none is.
    Trial,
    /// The kernel refused.
    Kernel,
    /// geofence itself failed.
    Internal,
    /// A command asks for something impossible; no reload fails with this cause.
    Request,
}

impl Cause {
    /// The causes a reload can fail with.
    pub const ALL: [Self; 10] = [
        Self::Configuration,
        Self::Restart,
        Self::Database,
        Self::List,
        Self::Sanity,
        Self::Capacity,
        Self::Lockout,
        Self::Trial,
        Self::Kernel,
        Self::Internal,
    ];

    /// The spelling in metrics and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Restart => "restart_needed",
            Self::Database => "database",
            Self::List => "list",
            Self::Sanity => "guard",
            Self::Capacity => "capacity",
            Self::Lockout => "access",
            Self::Trial => "trial",
            Self::Kernel => "kernel",
            Self::Internal => "internal",
            Self::Request => "request",
        }
    }
}

/// Why nothing changed: the cause, and the message for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    pub cause: Cause,
    pub text: String,
}

impl Failure {
    pub fn new(cause: Cause, text: impl ToString) -> Self {
        Self {
            cause,
            // Names and paths in it come from files.
            text: printable(text.to_string().trim_end()),
        }
    }
}
