//! The sockets of the daemon: who may ask on each, and for what.

use std::fs::Permissions;
use std::io::{Error, ErrorKind};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use tokio::net::UnixListener;

use super::protocol::Request;
use crate::config::{BAN, ExceptionSpec};
use crate::daemon::Change;
use crate::model::shortfall::Part;
use crate::os::instance::Instance;
use crate::os::user;

/// What the names of exceptions begin with that the fleet agent may change.
pub const FLEET: &str = "fleet-";

/// Why the daemon cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {path}: {cause}")]
pub struct ListenError {
    path: String,
    cause: Error,
}

/// A socket that the daemon answers on.
#[derive(Clone, Debug)]
pub struct Door {
    instance: Instance,
    /// The user of the fleet agent, if it is that agent's socket.
    agent: Option<String>,
}

/// What a client may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    Everything,
    /// What the fleet agent needs.
    Fleet,
}

impl Door {
    /// The control socket.
    #[must_use]
    pub fn control(instance: &Instance) -> Self {
        let instance = instance.clone();
        Self {
            instance,
            agent: None,
        }
    }

    /// The socket of the fleet agent, which runs as this user.
    #[must_use]
    pub fn agent(instance: &Instance, user: &str) -> Self {
        let instance = instance.clone();
        Self {
            instance,
            agent: Some(user.to_owned()),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        match self.agent {
            None => self.instance.socket(),
            Some(_) => self.instance.agent_socket(),
        }
    }

    /// Creates the socket. The caller holds the instance's lock, so an existing socket is a leftover.
    ///
    /// # Errors
    /// When it cannot be created, or the agent's user does not exist.
    pub fn listen(&self) -> Result<UnixListener, ListenError> {
        let path = self.path();
        let failed = |cause| ListenError {
            path: path.display().to_string(),
            cause,
        };
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        if let Some(name) = &self.agent
            && user::number(name).is_none()
        {
            let text = format!("there is no user {name:?}; create it, or correct `fleet-user`");
            return Err(failed(Error::new(ErrorKind::NotFound, text)));
        }
        // Until the mode is set, only the owner can connect.
        let listener = UnixListener::bind(&path).map_err(failed)?;
        let set = |path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode));
        match self.agent {
            None => set(path.clone(), 0o600).map_err(failed)?,
            // Who asks is known by the kernel's word, so the socket itself may be open. The directory can be entered
            // then, and not listed.
            Some(_) => set(path.clone(), 0o666)
                .and_then(|()| set(self.instance.run_directory(), 0o711))
                .map_err(failed)?,
        }
        Ok(listener)
    }

    /// What a user may ask for here; nothing if the user is a stranger.
    pub(super) fn right(&self, caller: u32) -> Option<Right> {
        match &self.agent {
            None => (caller == 0 || caller == nix::unistd::geteuid().as_raw())
                .then_some(Right::Everything),
            Some(name) => (user::number(name) == Some(caller)).then_some(Right::Fleet),
        }
    }

    /// What lacks without it.
    pub(super) fn part(&self) -> Part {
        match self.agent {
            None => Part::Control,
            Some(_) => Part::Fleet,
        }
    }

    /// What does not work without it, for a message.
    pub(super) fn loss(&self) -> &'static str {
        match self.agent {
            None => "NO CONTROL SOCKET, so `geofence reload`, `status` and the like do not work",
            Some(_) => {
                "NO SOCKET FOR THE FLEET AGENT, so exceptions, bans and policies of the fleet do not arrive"
            }
        }
    }

    /// What a user who is refused has tried, for a message.
    pub(super) fn purpose(&self) -> &'static str {
        match self.agent {
            None => "control geofence",
            Some(_) => "ask as the agent of the fleet",
        }
    }

    /// The longest line that is read here. A policy comes as one line.
    pub(super) fn line_bytes_max(&self) -> u64 {
        match self.agent {
            None => 64 << 10,
            Some(_) => 2 << 20,
        }
    }

    /// How many clients are connected here at once.
    pub(super) fn connections_max(&self) -> usize {
        match self.agent {
            None => 64,
            Some(_) => 4,
        }
    }
}

impl Right {
    /// Refuses a request that this right does not cover, in a sentence.
    pub(super) fn check(self, request: &Request) -> Result<(), String> {
        let is_covered = match (self, request) {
            (Self::Everything, _)
            | (
                Self::Fleet,
                Request::Status
                | Request::Counters
                | Request::Exceptions { .. }
                | Request::Apply {
                    file: None,
                    force: false,
                    ..
                }
                | Request::Confirm
                | Request::Revert,
            ) => true,
            (Self::Fleet, Request::Exception { change, .. }) => is_of_fleet(change),
            (Self::Fleet, Request::Changes { changes }) => changes.iter().all(is_of_fleet),
            (Self::Fleet, _) => false,
        };
        if is_covered {
            return Ok(());
        }
        Err(format!(
            "the fleet agent may not ask for this: it may read the status, put a policy on trial, ban, and change \
             exceptions whose names begin with {FLEET:?}"
        ))
    }
}

/// Whether the fleet agent may make a change: it never forces one.
fn is_of_fleet(change: &Change) -> bool {
    let is_own = |id: &str| id.starts_with(FLEET) || id.starts_with(BAN);
    match change {
        Change::Add(ExceptionSpec { id, .. }) => id.starts_with(FLEET),
        Change::Ban { ban, force, .. } => ban.id.starts_with(BAN) && !force,
        Change::Extend { id, .. } => is_own(id),
        Change::Remove { id, force, .. } => is_own(id) && !force,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> Request {
        Request::parse(text).unwrap()
    }

    #[test]
    fn fleet_agent_may_change_what_is_the_fleets_and_force_nothing() {
        let spec = |id: &str, action: &str| {
            format!(
                r#"{{"id":"{id}","from":["192.0.2.1"],"to":["any"],"owner":"a","reason":"b","action":"{action}"}}"#
            )
        };
        let add = |id: &str| format!(r#"{{"add":{}}}"#, spec(id, "pass"));
        let ban = |id: &str, force: bool| {
            format!(
                r#"{{"ban":{{"ban":{},"force":{force}}}}}"#,
                spec(id, "drop")
            )
        };
        let change =
            |change: &str| format!(r#"{{"version":1,"command":"exception","change":{change}}}"#);
        let together = |one: &str, other: &str| {
            format!(r#"{{"version":1,"command":"changes","changes":[{one},{other}]}}"#)
        };
        let plain = |words: &str| format!(r#"{{"version":1,"command":{words}}}"#);
        for (text, may) in [
            (plain(r#""status""#), true),
            (plain(r#""counters""#), true),
            (plain(r#""confirm""#), true),
            (plain(r#""apply","seconds":60,"text":"""#), true),
            (plain(r#""apply","seconds":60,"file":"/etc/shadow""#), false),
            (
                plain(r#""apply","seconds":60,"text":"","force":true"#),
                false,
            ),
            (plain(r#""reload""#), false),
            (plain(r#""policy""#), false),
            (change(&add("fleet-a")), true),
            (change(&add("a")), false),
            (together(&add("fleet-a"), &add("fleet-b")), true),
            (together(&add("fleet-a"), &add("b")), false),
            (change(&ban("ban-192.0.2.1", false)), true),
            (change(&ban("ban-192.0.2.1", true)), false),
            (change(&ban("x", false)), false),
            (change(r#"{"remove":{"id":"fleet-a"}}"#), true),
            (change(r#"{"remove":{"id":"fleet-a","force":true}}"#), false),
            (change(r#"{"remove":{"id":"x-1"}}"#), false),
            (
                change(r#"{"extend":{"id":"x-1","until":"2099-01-01"}}"#),
                false,
            ),
        ] {
            assert_eq!(Right::Fleet.check(&request(&text)).is_ok(), may, "{text}");
            assert_eq!(Right::Everything.check(&request(&text)), Ok(()), "{text}");
        }
    }
}
