//! Why a pin under /sys/fs/bpf could not be made, opened or removed.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

use super::call::{KernelCall, describe_error};
use crate::os::instance::InstanceError;

/// Where the kernel keeps objects that no process holds.
pub(super) const BPFFS: &str = "/sys/fs/bpf";

/// How long the kernel may take to release an interface whose link is gone.
pub(super) const RELEASE_PATIENCE: Duration = Duration::from_secs(5);

/// Why pins cannot be made or removed.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    #[error(
        "no bpf filesystem is mounted at {BPFFS}, and mounting one failed: {cause}. Without it the filter could not \
         outlive this process: run `mount -t bpf bpf {BPFFS}` as root; in a container, mount the host's"
    )]
    NoFileSystem { cause: io::Error },
    #[error(transparent)]
    Directory(#[from] InstanceError),
    #[error("only root may use {path}: run this with sudo")]
    Privilege { path: String },
    #[error("cannot {action} {path}: {cause}")]
    Call {
        action: &'static str,
        path: String,
        cause: String,
    },
    #[error(
        "interface {index} still runs the program {RELEASE_PATIENCE:?} after its link was removed; try again"
    )]
    StillAttached { index: u32 },
}

impl PinError {
    /// For `map_err`: a file or directory that cannot be read, replaced or removed.
    pub(super) fn file(action: &'static str, path: &Path) -> impl Fn(io::Error) -> Self {
        let path = path.display().to_string();
        move |cause| {
            let path = path.clone();
            if cause.kind() == ErrorKind::PermissionDenied {
                return Self::Privilege { path };
            }
            Self::Call {
                action,
                path,
                cause: cause.to_string(),
            }
        }
    }

    /// For `map_err`: an object that cannot be pinned.
    pub(super) fn pinning<E: KernelCall>(path: &Path) -> impl Fn(E) -> Self {
        Self::call("pin", path)
    }

    /// For `map_err`: a pin that cannot be opened.
    pub(super) fn opening<E: KernelCall>(path: &Path) -> impl Fn(E) -> Self {
        Self::call("open", path)
    }

    fn call<E: KernelCall>(action: &'static str, path: &Path) -> impl Fn(E) -> Self {
        let path = path.display().to_string();
        move |error| Self::Call {
            action,
            path: path.clone(),
            cause: describe_error(&error),
        }
    }
}
