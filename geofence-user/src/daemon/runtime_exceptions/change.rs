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

    /// Whether the lock-out check is forced, and the peers that the client requires, if this change can fail it.
    fn lockout_check(&self) -> Option<(bool, &[Dependency])> {
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
            } => Some((*force, required_peers)),
            Self::Add(_) | Self::Extend { .. } => None,
        }
    }
}

/// The options of the lock-out check of changes that are made together, if one of them can fail it. It is forced only
/// if every change that can fail it is.
pub(super) fn lockout_options(changes: &[Change]) -> Option<ReloadOptions> {
    let checks = changes.iter().filter_map(Change::lockout_check);
    checks.fold(None, |options, (force, peers)| {
        let mut options = options.unwrap_or(ReloadOptions {
            force: true,
            required_peers: Vec::new(),
            keeps_accepted: true,
        });
        options.force &= force;
        options.required_peers.extend_from_slice(peers);
        Some(options)
    })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::checks::lockout::Need;

    #[test]
    fn changes_together_are_forced_only_if_all_are() {
        let peer = Dependency {
            need: Need::Gateway,
            address: Ipv4Addr::LOCALHOST.into(),
        };
        let remove = |force| Change::Remove {
            id: "x-1".to_owned(),
            reason: None,
            force,
            required_peers: vec![peer],
        };
        let add = Change::Add(ExceptionSpec::default());
        assert_eq!(lockout_options(std::slice::from_ref(&add)), None);
        let (yes, no) = (remove(true), remove(false));
        let options = lockout_options(&[yes.clone(), add.clone(), no.clone()]);
        assert_eq!(options.unwrap().required_peers, [peer; 2]);
        let force = |changes: &[Change]| lockout_options(changes).map(|options| options.force);
        assert_eq!(force(&[add.clone(), yes.clone()]), Some(true));
        assert_eq!(force(&[yes.clone(), add, no.clone()]), Some(false));
        assert_eq!(force(&[no, yes]), Some(false));
    }
}
