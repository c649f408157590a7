//! The exit codes of `geofence run`, by which a service manager tells what a restart can mend. The numbers are those of
//! sysexits.h, except for 2, with which every verb ends in trouble.

use std::fmt;
use std::io::ErrorKind;

use crate::kernel::{AttachError, KernelError, PinError};
use crate::os::instance::InstanceError;

/// Trouble of any other kind.
pub const OTHER: u8 = 2;
/// No interface can be protected, and waiting does not change that (EX_UNAVAILABLE).
const INTERFACE: u8 = 69;
/// A privilege is missing (EX_NOPERM).
const PRIVILEGE: u8 = 77;
/// The configuration cannot be read, and there is no last good image (EX_CONFIG).
const CONFIGURATION: u8 = 78;

/// An error with the exit code that belongs to it.
#[derive(Debug)]
pub struct Trouble {
    pub code: u8,
    pub error: anyhow::Error,
}

impl std::error::Error for Trouble {}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
    }
}

impl Trouble {
    pub(super) fn configuration(error: anyhow::Error) -> Self {
        Self {
            code: CONFIGURATION,
            error,
        }
    }

    /// The trouble that an error of the kernel or of a directory means.
    pub(super) fn of(error: anyhow::Error) -> Self {
        let code = if let Some(error) = error.downcast_ref() {
            of_attaching(error)
        } else if let Some(error) = error.downcast_ref() {
            of_kernel(error)
        } else if let Some(error) = error.downcast_ref() {
            of_pin(error)
        } else {
            error.downcast_ref().map_or(OTHER, of_directory)
        };
        Self { code, error }
    }
}

fn of_attaching(error: &AttachError) -> u8 {
    use AttachError as E;
    match error {
        E::Privilege { .. } => PRIVILEGE,
        E::Pin(error) => of_pin(error),
        E::Kernel(error) => of_kernel(error),
        E::Unjudged(_)
        | E::Misplaced(_)
        | E::NotLoaded { .. }
        | E::IndexClash { .. }
        | E::Foreign { .. }
        | E::Refused { .. }
        | E::Egress { .. }
        | E::NoLink { .. } => INTERFACE,
        E::Interface(_) if error.is_missing() => INTERFACE,
        E::Interface(_) | E::Program { .. } | E::Update { .. } | E::NotInPlace { .. } => OTHER,
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the others have nothing to do with privileges"
)]
fn of_kernel(error: &KernelError) -> u8 {
    match error {
        KernelError::Privilege { .. } => PRIVILEGE,
        KernelError::Pins(error) => of_pin(error),
        _ => OTHER,
    }
}

fn of_pin(error: &PinError) -> u8 {
    match error {
        PinError::Privilege { .. } => PRIVILEGE,
        PinError::Directory(error) => of_directory(error),
        PinError::NoFileSystem { cause } if cause.kind() == ErrorKind::PermissionDenied => {
            PRIVILEGE
        }
        PinError::NoFileSystem { .. } | PinError::Call { .. } | PinError::StillAttached { .. } => {
            OTHER
        }
    }
}

fn of_directory(error: &InstanceError) -> u8 {
    match error {
        InstanceError::Directory { cause, .. } if cause.kind() == ErrorKind::PermissionDenied => {
            PRIVILEGE
        }
        InstanceError::Directory { .. }
        | InstanceError::Taken { .. }
        | InstanceError::Stranger { .. } => OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::failure::{Cause, Failure};

    #[test]
    fn each_kind_of_trouble_has_its_exit_code() {
        let missing = AttachError::NoLink {
            name: "eth0".into(),
        };
        let privilege = || KernelError::Privilege {
            call: "BPF_PROG_LOAD".into(),
        };
        let directory = |kind: ErrorKind| InstanceError::Directory {
            path: "/run/geofence".into(),
            cause: kind.into(),
        };
        let cases: [(anyhow::Error, u8); 6] = [
            (missing.into(), INTERFACE),
            (privilege().into(), PRIVILEGE),
            (AttachError::Kernel(privilege()).into(), PRIVILEGE),
            (directory(ErrorKind::PermissionDenied).into(), PRIVILEGE),
            (directory(ErrorKind::StorageFull).into(), OTHER),
            (Failure::new(Cause::Lockout, "cut off").into(), OTHER),
        ];
        for (error, code) in cases {
            let text = error.to_string();
            let trouble = Trouble::of(error);
            assert_eq!(trouble.code, code, "{text}");
            assert_eq!(trouble.to_string(), text);
        }
    }
}
