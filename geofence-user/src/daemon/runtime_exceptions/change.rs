//! A change of a runtime exception as a command asks for it.

use serde::{Deserialize, Serialize};

use crate::checks::lockout::Dependency;
use crate::config::ExceptionSpec;
use crate::daemon::reload::ReloadOptions;

/// A change of a runtime exception. The names are those of the control protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Change {
    /// Adds one. The daemon chooses a name if there is none.
    Add(ExceptionSpec),
    /// Adds a ban, or changes when that of the same name expires.
    Ban {
        ban: ExceptionSpec,
        #[serde(default)]
        force: bool,
        /// Peers that the client requires.
        #[serde(default, rename = "needed")]
        required_peers: Vec<Dependency>,
    },
    /// Changes when one expires.
    Extend { id: String, until: String },
    /// Removes one.
    Remove {
        id: String,
        reason: Option<String>,
        #[serde(default)]
        force: bool,
        /// Peers that the client requires.
        #[serde(default, rename = "needed")]
        required_peers: Vec<Dependency>,
    },
}

impl Change {
    /// The words of the command line.
    pub(super) const fn verb(&self) -> &'static str {
        match self {
            Self::Add(_) => "exception add",
            Self::Ban { .. } => "ban",
            Self::Extend { .. } => "exception extend",
            Self::Remove { .. } => "exception remove",
        }
    }

    pub(super) fn id(&self) -> &str {
        match self {
            Self::Add(ExceptionSpec { id, .. })
            | Self::Ban {
                ban: ExceptionSpec { id, .. },
                ..
            }
            | Self::Extend { id, .. }
            | Self::Remove { id, .. } => id,
        }
    }

    /// Why it is made, if that is not the exception's own reason.
    pub(super) fn reason(&self) -> Option<&str> {
        match self {
            Self::Remove { reason, .. } => reason.as_deref(),
            Self::Add(_) | Self::Ban { .. } | Self::Extend { .. } => None,
        }
    }

    /// The options of the lock-out check, which only a ban or a removal can fail.
    pub(super) fn lockout_options(&self) -> Option<ReloadOptions> {
        match self {
            Self::Ban {
                force,
                required_peers,
                ..
            }
            | Self::Remove {
                force,
                required_peers,
                ..
            } => Some(ReloadOptions {
                force: *force,
                required_peers: required_peers.clone(),
                keeps_accepted: true,
            }),
            Self::Add(_) | Self::Extend { .. } => None,
        }
    }
}
