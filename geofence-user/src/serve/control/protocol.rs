//! The requests of the control socket, and their text.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::checks::lockout::Dependency;
use crate::daemon::{CaptureRequest, Change, ReloadOptions};
use crate::model::units::UnixSeconds;

/// The version of the protocol. A request of another version is answered with an error that names this one.
pub const VERSION: u32 = 1;

/// How long a line may take to arrive, and an answer to be read.
pub(super) const LINE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a client can ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "lowercase", deny_unknown_fields)]
pub enum Request {
    Status,
    Reload(ReloadOptions),
    /// Activates a policy until it is confirmed or the time is over.
    Apply {
        /// The file with the policy; without one, the configuration file.
        #[serde(default)]
        file: Option<PathBuf>,
        /// The policy itself instead of a file, which the daemon writes beside its configuration.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        seconds: u64,
        #[serde(default)]
        force: bool,
        #[serde(default, rename = "needed")]
        required_peers: Vec<Dependency>,
    },
    Confirm,
    Revert,
    /// Changes a runtime exception.
    Exception {
        change: Change,
        /// For how many seconds it lasts from now, if that is what was asked for, and not the time in the change.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lasts: Option<u64>,
    },
    /// Changes many runtime exceptions, with as few images as possible. One that is refused does not stop the others.
    Changes {
        changes: Vec<Change>,
    },
    /// The names of tenants, exceptions and protections, which the kernel knows by number.
    Names,
    /// The configuration that the daemon filters by, key by key.
    Policy,
    /// List events from this number on.
    Events {
        #[serde(default)]
        since: u64,
        /// Whether to wait for the next event if there is none.
        #[serde(default)]
        wait: bool,
    },
    /// Every packet counter, for rates.
    Counters,
    /// What was counted since a moment, by country, reason and tenant.
    Report {
        since: UnixSeconds,
    },
    /// List events and samples of drops, each from its number on.
    Observed {
        #[serde(default)]
        since: u64,
        #[serde(default)]
        drops: u64,
        /// Whether to sample drops from now on, and to wait for the next of either if there is none.
        #[serde(default)]
        follow: bool,
    },
    /// Starts a capture of frames.
    Capture(CaptureRequest),
    /// Frames of a capture; ends it first, if so asked.
    Captured {
        session: u32,
        #[serde(default)]
        end: bool,
    },
    /// Every exception, or every ban, or one of either.
    Exceptions {
        id: Option<String>,
        #[serde(default)]
        bans: bool,
    },
}

impl Request {
    /// Reads a line.
    ///
    /// # Errors
    /// A sentence that says why it is not a request.
    pub(super) fn parse(line: &str) -> Result<Self, String> {
        let mut value: Value = serde_json::from_str(line)
            .map_err(|error| format!("the request is not JSON: {error}"))?;
        let version = value
            .as_object_mut()
            .and_then(|object| object.remove("version"));
        if version.and_then(|version| version.as_u64()) != Some(u64::from(VERSION)) {
            return Err(format!(
                "this daemon speaks version {VERSION} of the protocol"
            ));
        }
        serde_json::from_value(value).map_err(|error| format!("unknown request: {error}"))
    }

    /// Writes a line.
    pub(super) fn line(&self) -> serde_json::Result<String> {
        let mut value = serde_json::to_value(self)?;
        value["version"] = VERSION.into();
        Ok(format!("{value}\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_requests_of_this_version_are_accepted() {
        let reload = |force| {
            Request::Reload(ReloadOptions {
                force,
                ..ReloadOptions::default()
            })
        };
        assert_eq!(
            Request::parse(r#"{"version":1,"command":"reload"}"#),
            Ok(reload(false))
        );
        assert_eq!(
            Request::parse(r#"{"version":1,"command":"reload","force":true}"#),
            Ok(reload(true))
        );
        for wrong in [
            "",
            "[]",
            "{",
            r#"{"command":"status"}"#,
            r#"{"version":2,"command":"status"}"#,
            r#"{"version":1,"command":"detach"}"#,
            r#"{"version":1,"command":"reload","forced":true}"#,
        ] {
            assert!(Request::parse(wrong).is_err(), "{wrong}");
        }
    }
}
