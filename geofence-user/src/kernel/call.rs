//! Which call to the kernel an error is of, as bpf(2) spells it, and why it failed.
//!
//! The library below words its errors by what it was about, and keeps the number of the error for whoever asks for the
//! source. An operator, and whoever helps one, looks for `BPF_MAP_CREATE` and for "Cannot allocate memory".

use std::error::Error;

use aya::maps::MapError;
use aya::programs::links::LinkError;
use aya::programs::{ProgramError, XdpError};
use aya::sys::SyscallError;
use aya::{BtfError, EbpfError};
use rustix::thread::{CapabilitySet, capabilities};

use super::attach::errno;

/// An error that may be of a call.
pub(super) trait OfCall: Error + 'static {
    /// The call's name; nothing for an error that is of none.
    fn call(&self) -> Option<String>;
}

/// An error as it is told: the call, what it was about, and the kernel's reason.
pub(super) fn told(error: &impl OfCall) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut add = |part: String| {
        // What is transparent says what its source says.
        if !parts.iter().any(|said| said.contains(&part)) {
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

/// Whether an error, or one behind it, is EPERM. The verifier refuses with EACCES, which is no matter of privilege.
pub(super) fn is_permission(error: &(dyn Error + 'static)) -> bool {
    errno(error) == Some(libc::EPERM)
}

/// Whether the verifier has refused a program for want of CAP_PERFMON, without which it takes each for one that
/// wants to know the kernel's secrets. It says something else then.
pub(super) fn is_for_perfmon(error: &ProgramError) -> bool {
    let is_refused = matches!(error, ProgramError::LoadError { io_error, .. }
        if io_error.raw_os_error() == Some(libc::EACCES));
    let has_perfmon = capabilities(None).map_or(true, |had| {
        had.effective
            .intersects(CapabilitySet::PERFMON | CapabilitySet::SYS_ADMIN)
    });
    is_refused && !has_perfmon
}

impl OfCall for SyscallError {
    fn call(&self) -> Option<String> {
        Some(match self.call {
            // What links for TC are called in the library.
            "bpf_mprog_attach" => "BPF_LINK_CREATE".to_owned(),
            call => call.to_ascii_uppercase(),
        })
    }
}

impl OfCall for MapError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others are of no call")]
    fn call(&self) -> Option<String> {
        match self {
            Self::CreateError { .. } => Some("BPF_MAP_CREATE".to_owned()),
            Self::SyscallError(error) => error.call(),
            Self::PinError { error, .. } => error.call(),
            _ => None,
        }
    }
}

impl OfCall for aya::pin::PinError {
    fn call(&self) -> Option<String> {
        match self {
            Self::SyscallError(error) => error.call(),
            Self::NoFd { .. } | Self::InvalidPinPath { .. } => None,
        }
    }
}

impl OfCall for BtfError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others are of no call")]
    fn call(&self) -> Option<String> {
        match self {
            Self::LoadError { .. } => Some("BPF_BTF_LOAD".to_owned()),
            _ => None,
        }
    }
}

impl OfCall for LinkError {
    fn call(&self) -> Option<String> {
        match self {
            Self::SyscallError(error) => error.call(),
            Self::InvalidLink | Self::UnknownLinkType(_) => None,
        }
    }
}

impl OfCall for ProgramError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others are of no call")]
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

impl OfCall for EbpfError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others are of no call")]
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
    use std::io;

    use super::super::adopt::of_link;
    use super::*;

    #[test]
    fn an_error_names_its_call_and_the_reason_once() {
        let io_error = || io::Error::from_raw_os_error(libc::ENOMEM);
        let create = MapError::CreateError {
            name: "COUNTERS".to_owned(),
            io_error: io_error(),
        };
        assert_eq!(
            told(&EbpfError::MapError(create)),
            "BPF_MAP_CREATE: map error: failed to create map `COUNTERS`: Cannot allocate memory (os error 12)"
        );
        let syscall = |call| SyscallError {
            call,
            io_error: io_error(),
        };
        assert_eq!(
            told(&ProgramError::SyscallError(syscall("bpf_link_update"))),
            "BPF_LINK_UPDATE: `bpf_link_update` failed: Cannot allocate memory (os error 12)"
        );
        assert_eq!(
            ProgramError::from(syscall("bpf_mprog_attach"))
                .call()
                .as_deref(),
            Some("BPF_LINK_CREATE")
        );
        let pin = aya::pin::PinError::from(syscall("BPF_OBJ_PIN"));
        assert!(told(&pin).starts_with("BPF_OBJ_PIN: "), "{}", told(&pin));
        assert_eq!(told(&MapError::KeyNotFound), "key not found");
        let info = LinkError::SyscallError(syscall("bpf_obj_get_info_by_fd"));
        let info = told(&of_link(info));
        assert!(info.starts_with("BPF_OBJ_GET_INFO_BY_FD: "), "{info}");
    }
}
