//! Why the program or its maps could not be loaded, written or read: the call that failed, and what to do.

use std::borrow::Cow;
use std::path::PathBuf;

use aya::EbpfError;
use aya::maps::MapError;
use aya::programs::ProgramError;
use geofence_common::maps::INTERFACE_SLOTS_MAX;

use super::call::{KernelCall, describe_error, is_permission, lacks_perfmon};
use super::pin_error::PinError;
use crate::model::failure::{Cause, Failure};
use crate::model::kernel_version::KERNEL_MIN;
use crate::os::clock::ClockError;
use crate::os::restart;

/// Why the kernel did not do what the filter needs.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    #[error(
        "Linux {found} is too old: geofence needs {}.{} or later, for map elements of any size. Boot a newer kernel",
        KERNEL_MIN.0, KERNEL_MIN.1
    )]
    KernelTooOld { found: String },
    #[error(
        "missing privilege: {call} was refused. geofence loads a program into the kernel, which needs root, or the \
         capabilities CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN: run it with sudo, or as a service with those capabilities"
    )]
    Privilege { call: String },
    #[error(
        "{given} interfaces are configured, and one geofence counts at most {}; run another instance for the rest",
        INTERFACE_SLOTS_MAX - 1
    )]
    TooManyInterfaces { given: u32 },
    #[error("the program in this binary has no placeholder for the image size; rebuild geofence")]
    Object,
    #[error(
        "cannot open the table {path:?} of the running filter: {cause}. A start without it would lose its counters, so \
         nothing was changed; start again"
    )]
    Table { path: PathBuf, cause: String },
    #[error(
        "cannot tell whether the kernel has {feature}, as Linux {}.{} and later do, because {call} failed for an \
         unknown reason, most often a shortage of memory. Nothing was changed; start again",
        KERNEL_MIN.0, KERNEL_MIN.1
    )]
    UnknownFeature {
        feature: &'static str,
        call: &'static str,
    },
    #[error(
        "another version of geofence loaded the running filter, and its image has another layout; ask with that \
         version, or restart the filter with this one"
    )]
    OtherVersion,
    #[error("{doing} failed: {cause}")]
    Call {
        doing: Cow<'static, str>,
        cause: String,
    },
    #[error(
        "image {wanted} was written, and the kernel goes by image {found}: another process writes to the maps of this \
         filter. Restart geofence with {}, which leaves no gap",
        restart::how()
    )]
    OtherImage { wanted: u32, found: u32 },
    #[error(
        "the kernel goes by an image that this geofence has not written: another process writes to the maps of this \
         filter. Restart geofence with {}, which leaves no gap",
        restart::how()
    )]
    ForeignImage,
    #[error("no policy is active yet, so there is none to go back to")]
    NothingBefore,
    #[error(transparent)]
    Clock(#[from] ClockError),
    #[error("the program has no map {0}; rebuild geofence")]
    NoMap(&'static str),
    #[error(transparent)]
    Pins(Box<PinError>),
    #[error(
        "the policy needs an image of {needed} lines of 64 bytes, and there is room for {room}; the active policy \
         stays. Set capacity-mib to at least {} and restart", needed.div_ceil(16_384)
    )]
    ImageTooLarge { needed: usize, room: u32 },
}

impl From<EbpfError> for KernelError {
    fn from(error: EbpfError) -> Self {
        if is_permission(&error) {
            Self::privilege(&error)
        } else {
            Self::call("loading the program", &error)
        }
    }
}

impl From<PinError> for KernelError {
    fn from(error: PinError) -> Self {
        Self::Pins(Box::new(error))
    }
}

impl From<ProgramError> for KernelError {
    fn from(error: ProgramError) -> Self {
        if is_permission(&error) || lacks_perfmon(&error) {
            Self::privilege(&error)
        } else {
            Self::call("loading or running a program", &error)
        }
    }
}

impl KernelError {
    pub(super) fn privilege(error: &impl KernelCall) -> Self {
        Self::Privilege {
            call: error.call().unwrap_or_else(|| "bpf(2)".to_owned()),
        }
    }

    fn call(doing: impl Into<Cow<'static, str>>, error: &impl KernelCall) -> Self {
        Self::Call {
            doing: doing.into(),
            cause: describe_error(error),
        }
    }

    /// For `map_err`: the map with this name cannot be opened.
    pub(super) fn opening(map: &'static str) -> impl Fn(MapError) -> Self {
        move |error| Self::call(format!("opening the map {map}"), &error)
    }

    /// For `map_err`: what the call on a map was for.
    pub(super) fn map(doing: &'static str) -> impl Fn(MapError) -> Self {
        move |error| Self::call(doing, &error)
    }

    /// For `map_err`: what the call outside aya was for.
    pub(super) fn io(doing: &'static str) -> impl Fn(std::io::Error) -> Self {
        move |error| Self::Call {
            doing: doing.into(),
            cause: error.to_string(),
        }
    }
}

impl From<KernelError> for Failure {
    fn from(error: KernelError) -> Self {
        let cause = if matches!(error, KernelError::ImageTooLarge { .. }) {
            Cause::Capacity
        } else {
            Cause::Kernel
        };
        Self::new(cause, error)
    }
}
