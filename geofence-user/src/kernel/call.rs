//! Names the kernel call behind an error, as bpf(2) spells it, and the kernel's reason.
//!
//! aya words its errors by what it was about to do and keeps the error number in a source. An operator searches for
//! `BPF_MAP_CREATE` and "Cannot allocate memory".

use std::error::Error;
use std::io;

use aya::maps::MapError;
use aya::programs::links::LinkError;
use aya::programs::{ProgramError, XdpError};
use aya::sys::SyscallError;
use aya::{BtfError, EbpfError};
use rustix::thread::{CapabilitySet, capabilities};

/// An error that may come from a kernel call.
pub(super) trait KernelCall: Error + 'static {
    /// The name of the call, if the error comes from one.
    fn call(&self) -> Option<String>;
}

/// An error in words: the call, what it was for, and the kernel's reason, each once.
pub(super) fn describe_error(error: &impl KernelCall) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut add = |part: String| {
        // A transparent error repeats the text of its source.
        if !parts.iter().any(|earlier| earlier.contains(&part)) {
            parts.push(part);
        }
    };
    if let Some(call) = error.call() {
        add(call);
    }
    let mut next: Option<&dyn Error> = Some(error);
    while let Some(error) = next {
        add(error.to_string());
        next = error.source();
    }
    parts.join(": ")
}

/// The error number of an error, or of one of its sources.
pub(super) fn errno(error: &(dyn Error + 'static)) -> Option<i32> {
    std::iter::successors(Some(error), |error| (*error).source()).find_map(|error| {
        error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::raw_os_error)
    })
}

/// Whether an error is EPERM. The verifier refuses with EACCES, which is no matter of privilege.
pub(super) fn is_permission(error: &(dyn Error + 'static)) -> bool {
    errno(error) == Some(libc::EPERM)
}

/// Whether the verifier refused a program because CAP_PERFMON is missing: it then treats pointer leaks as errors, and
/// its message does not mention the capability.
pub(super) fn lacks_perfmon(error: &ProgramError) -> bool {
    let is_refused = matches!(error, ProgramError::LoadError { io_error, .. }
        if io_error.raw_os_error() == Some(libc::EACCES));
    let has_perfmon = capabilities(None).map_or(true, |sets| {
        sets.effective
            .intersects(CapabilitySet::PERFMON | CapabilitySet::SYS_ADMIN)
    });
    is_refused && !has_perfmon
}

/// Turns a link's error into a program's, which keeps the name of the call.
pub(super) fn link_error(error: LinkError) -> ProgramError {
    match error {
        LinkError::SyscallError(error) => error.into(),
        LinkError::InvalidLink | LinkError::UnknownLinkType(_) => program_error(error),
    }
}

/// Wraps an error of another kind as a program's.
pub(super) fn program_error(error: impl Error + Send + Sync + 'static) -> ProgramError {
    ProgramError::IOError(io::Error::other(error))
}

impl KernelCall for SyscallError {
    fn call(&self) -> Option<String> {
        Some(match self.call {
            // aya's name for the links of TC programs.
            "bpf_mprog_attach" => "BPF_LINK_CREATE".to_owned(),
            call => call.to_ascii_uppercase(),
        })
    }
}

impl KernelCall for MapError {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the others come from no call"
    )]
    fn call(&self) -> Option<String> {
        match self {
            Self::CreateError { .. } => Some("BPF_MAP_CREATE".to_owned()),
            Self::SyscallError(error) => error.call(),
            Self::PinError { error, .. } => error.call(),
            _ => None,
        }
    }
}

impl KernelCall for aya::pin::PinError {
    fn call(&self) -> Option<String> {
        match self {
            Self::SyscallError(error) => error.call(),
            Self::NoFd { .. } | Self::InvalidPinPath { .. } => None,
        }
    }
}

impl KernelCall for BtfError {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the others come from no call"
    )]
    fn call(&self) -> Option<String> {
        match self {
            Self::LoadError { .. } => Some("BPF_BTF_LOAD".to_owned()),
            _ => None,
        }
    }
}

impl KernelCall for LinkError {
    fn call(&self) -> Option<String> {
        match self {
            Self::SyscallError(error) => error.call(),
            Self::InvalidLink | Self::UnknownLinkType(_) => None,
        }
    }
}

impl KernelCall for ProgramError {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the others come from no call"
    )]
    fn call(&self) -> Option<String> {
        match self {
            Self::LoadError { .. } => Some("BPF_PROG_LOAD".to_owned()),
            Self::SyscallError(error) => error.call(),
            Self::MapError(error) => error.call(),
            Self::Btf(error) => error.call(),
            Self::XdpError(XdpError::NetlinkError(_)) => Some("RTM_SETLINK".to_owned()),
            _ => None,
        }
    }
}

impl KernelCall for EbpfError {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the others come from no call"
    )]
    fn call(&self) -> Option<String> {
        match self {
            Self::MapError(error) => error.call(),
            Self::ProgramError(error) => error.call(),
            Self::BtfError(error) => error.call(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_described_error_names_its_call_and_the_reason_once() {
        let io_error = || io::Error::from_raw_os_error(libc::ENOMEM);
        let create = MapError::CreateError {
            name: "COUNTERS".to_owned(),
            io_error: io_error(),
        };
        assert_eq!(
            describe_error(&EbpfError::MapError(create)),
            "BPF_MAP_CREATE: map error: failed to create map `COUNTERS`: Cannot allocate memory (os error 12)"
        );
        let syscall = |call| SyscallError {
            call,
            io_error: io_error(),
        };
        assert_eq!(
            describe_error(&ProgramError::SyscallError(syscall("bpf_link_update"))),
            "BPF_LINK_UPDATE: `bpf_link_update` failed: Cannot allocate memory (os error 12)"
        );
        assert_eq!(
            ProgramError::from(syscall("bpf_mprog_attach"))
                .call()
                .as_deref(),
            Some("BPF_LINK_CREATE")
        );
        let pin = aya::pin::PinError::from(syscall("BPF_OBJ_PIN"));
        assert!(
            describe_error(&pin).starts_with("BPF_OBJ_PIN: "),
            "{}",
            describe_error(&pin)
        );
        assert_eq!(describe_error(&MapError::KeyNotFound), "key not found");
        let info = LinkError::SyscallError(syscall("bpf_obj_get_info_by_fd"));
        let info = describe_error(&link_error(info));
        assert!(info.starts_with("BPF_OBJ_GET_INFO_BY_FD: "), "{info}");
    }
}
