//! An instance of geofence, of which a machine can run several: its name, and the directories that have that name.
//!
//! ```text
//! /sys/fs/bpf/geofence/NAME    links and tables that outlive the process (kernel::Pins)
//! /var/lib/NAME                the last good image (state)
//! /run/NAME/control.sock       where `geofence reload` and `status` ask
//! /run/NAME/agent.sock         where the fleet agent asks, if there is one
//! ```
//!
//! The daemon holds a lock on /run/NAME and on the directory of its pins, so there is one daemon of each name, also
//! after one of the two was removed.

use std::fmt;
use std::fs::{DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::input;

/// The name of an instance. Its directories, socket and pins have that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance(String);

/// The path of the socket has to fit into a socket address.
const NAME_BYTES_MAX: usize = 48;

/// A text that is not the name of an instance.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a valid instance name: use 1 to {NAME_BYTES_MAX} letters, digits, `-` and `_`"
)]
pub struct BadName(String);

/// Why the daemon cannot use its directories.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    #[error(
        "a geofence already runs as instance {name:?} (`geofence status --instance {name}` shows it); stop it first, \
         or give this one another name with --instance"
    )]
    Taken { name: String },
    #[error("cannot create the directory {path}: {cause}; `geofence run` needs root")]
    Directory { path: String, cause: io::Error },
    #[error(
        "{path} belongs to user {owner}, so its content cannot be trusted; remove it, or choose another name with \
         --instance"
    )]
    Stranger { path: String, owner: u32 },
}

impl Default for Instance {
    fn default() -> Self {
        Self("geofence".to_owned())
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for Instance {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if text.is_empty() || text.len() > NAME_BYTES_MAX || !text.bytes().all(is_fit) {
            return Err(BadName(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl Instance {
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Where the last good image survives a boot.
    #[must_use]
    pub fn state_directory(&self) -> PathBuf {
        Path::new("/var/lib").join(&self.0)
    }

    #[must_use]
    pub fn run_directory(&self) -> PathBuf {
        Path::new("/run").join(&self.0)
    }

    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.run_directory().join("control.sock")
    }

    /// Where the fleet agent asks.
    #[must_use]
    pub fn agent_socket(&self) -> PathBuf {
        self.run_directory().join("agent.sock")
    }

    /// Makes this process the only daemon of the name, until it drops the lock.
    pub fn lock(&self) -> Result<Lock, InstanceError> {
        let path = self.run_directory();
        private_directory(&path)?;
        self.lock_on(&path)
    }

    /// Whether a daemon of the name runs, by its usual directory or this one.
    #[must_use]
    pub fn is_locked(&self, other: &Path) -> bool {
        is_locked(&self.run_directory()) || is_locked(other)
    }

    /// Makes this process the only daemon by another directory of the instance as well.
    pub fn lock_on(&self, path: &Path) -> Result<Lock, InstanceError> {
        let failed = |cause| InstanceError::Directory {
            path: path.display().to_string(),
            cause,
        };
        let directory = input::directory(path).map_err(failed)?;
        match Flock::lock(directory, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Lock(lock)),
            Err((_, Errno::EWOULDBLOCK)) => Err(InstanceError::Taken {
                name: self.0.clone(),
            }),
            Err((_, errno)) => Err(failed(errno.into())),
        }
    }
}

fn is_locked(path: &Path) -> bool {
    input::directory(path).is_ok_and(|directory| {
        matches!(
            Flock::lock(directory, FlockArg::LockSharedNonblock),
            Err((_, Errno::EWOULDBLOCK))
        )
    })
}

/// The proof that this process is the only daemon of its instance.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held for its lock, never read")] Flock<File>);

/// Creates a directory that only its owner may enter, or makes an existing one of this user so.
pub fn private_directory(path: &Path) -> Result<(), InstanceError> {
    let failed = |cause| InstanceError::Directory {
        path: path.display().to_string(),
        cause,
    };
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(error)),
    }
    // Of the entry itself, so that a link is refused even if it leads to a directory of this user.
    let facts = std::fs::symlink_metadata(path).map_err(failed)?;
    if !facts.is_dir() || facts.uid() != nix::unistd::geteuid().as_raw() {
        return Err(InstanceError::Stranger {
            path: path.display().to_string(),
            owner: facts.uid(),
        });
    }
    if facts.mode() & 0o077 != 0 {
        std::fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_paths_are_refused() {
        for text in ["", "..", "a/b", "a.b", "é", &"a".repeat(49)] {
            assert!(text.parse::<Instance>().is_err(), "{text}");
        }
        let name: Instance = "edge-1_b".parse().unwrap();
        assert_eq!(
            name.socket(),
            Path::new("/run/edge-1_b/control.sock").to_owned()
        );
    }

    #[test]
    fn a_directory_is_private_and_a_link_to_one_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("one");
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        private_directory(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().mode();
        assert_eq!(mode & 0o777, 0o700);
        let link = place.path().join("two");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(
            private_directory(&link),
            Err(InstanceError::Stranger { .. })
        ));
    }
}
