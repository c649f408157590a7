//! Why an interface is not protected, and what to do about it.

use std::fmt;

use aya::programs::{ProgramError, loaded_programs};
use geofence_common::maps::INTERFACES_MAX;

use super::call::KernelCall as _;
use super::error::KernelError;
use super::interface::InterfaceError;
use super::pin_error::PinError;
use crate::checks::driver_errors::DriverError;
use crate::model::framing::Unjudged;
use crate::model::interface::Interface;
use crate::os::restart;

/// Why an interface is not protected.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    #[error(transparent)]
    Interface(#[from] InterfaceError),
    #[error(transparent)]
    Unjudged(#[from] Unjudged),
    #[error("{0}")]
    Misplaced(String),
    #[error(
        "{name} carries {content}, and the program that judges them is not loaded: it is loaded at a start that finds \
         such an interface. Restart geofence with {}: the other interfaces stay protected meanwhile",
        restart::how()
    )]
    NotLoaded { name: String, content: &'static str },
    #[error(
        "the interfaces with the indexes {first} and {second} would share a counter; run one geofence for each"
    )]
    IndexClash { first: u32, second: u32 },
    #[error(
        "interface {name} already runs the XDP program {program}. geofence does not replace a program that it did not \
         attach: remove that program with its own tool, or leave {name} out of the interfaces"
    )]
    Foreign { name: String, program: Program },
    #[error(
        "missing privilege to attach to {name}: {call} was refused. Attaching needs root, or the capabilities CAP_BPF, \
         CAP_PERFMON and CAP_NET_ADMIN; run geofence with sudo"
    )]
    Privilege { name: String, call: String },
    #[error(
        "interface {name} refused the program in {mode} mode: BPF_LINK_CREATE: {cause}{said}. {meaning}"
    )]
    Refused {
        name: String,
        mode: &'static str,
        cause: std::io::Error,
        /// The driver's own words in brackets, if it has any.
        said: String,
        meaning: DriverError,
    },
    #[error("cannot attach to {name}: {cause}")]
    Program { name: String, cause: String },
    #[error(
        "interface {name} refused the egress program, which records what this machine sends: {cause}. Without it, no \
         reply from a blocked country could pass, so the interface counts as not protected"
    )]
    Egress { name: String, cause: String },
    #[error(
        "the kernel attached the program to {name} without a link, which cannot be pinned; the program was detached. \
         Links for XDP need Linux 5.9 or later"
    )]
    NoLink { name: String },
    #[error(
        "interface {name} runs the program of an earlier geofence, which could not be replaced: {cause}. That program \
         keeps filtering by its own policy"
    )]
    Update { name: String, cause: String },
    #[error(
        "interface {name} does not run the program after it was attached: another program took its place"
    )]
    NotInPlace { name: String },
    #[error(transparent)]
    Pin(#[from] PinError),
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

/// A program, named so that an operator finds it: `bpftool prog show id 7`.
#[derive(Debug)]
pub struct Program {
    id: u32,
    name: Option<String>,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name:?} (id {})", self.id),
            None => write!(f, "with id {}", self.id),
        }
    }
}

impl Program {
    fn with_id(id: u32) -> Self {
        // Listing the programs needs CAP_SYS_ADMIN; without it only the id is known.
        let info = loaded_programs()
            .filter_map(Result::ok)
            .find(|program| program.id() == id);
        let name = info.and_then(|program| program.name_as_str().map(ToOwned::to_owned));
        Self {
            id,
            name: name.filter(|name| !name.is_empty()),
        }
    }
}

impl AttachError {
    pub(super) fn privilege(name: &str, error: &ProgramError) -> Self {
        Self::Privilege {
            name: name.to_owned(),
            call: error.call().unwrap_or_else(|| "the call".to_owned()),
        }
    }

    /// What the kernel answered, if it was about the program and this interface.
    pub(super) fn refusal(&self) -> Option<String> {
        if let Self::Refused { cause, said, .. } = self {
            return Some(format!("{cause}{said}"));
        }
        if let Self::Program { cause, .. } = self {
            return Some(cause.clone());
        }
        None
    }

    /// Whether the interface does not exist.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Interface(InterfaceError::Missing { .. }))
    }

    /// Refuses an interface that would share a counter with one of these.
    pub fn if_clashing(index: u32, mut others: impl Iterator<Item = u32>) -> Result<(), Self> {
        let clash = others
            .find(|other| *other != index && *other % INTERFACES_MAX == index % INTERFACES_MAX);
        match clash {
            None => Ok(()),
            Some(first) => Err(Self::IndexClash {
                first,
                second: index,
            }),
        }
    }

    /// Refuses an interface that runs a program.
    pub(super) fn if_taken(interface: &Interface) -> Result<(), Self> {
        match interface.program {
            None => Ok(()),
            Some(id) => Err(Self::Foreign {
                name: interface.name.clone(),
                program: Program::with_id(id),
            }),
        }
    }
}
