//! Attaching the programs to an interface, and saying plainly why they do not attach.
//!
//! By bpf_link only, and each link is pinned at once: nobody else can remove or replace it, and it stays when this
//! process goes. A program that somebody else attached is named and never touched.

use std::fmt;

use aya::programs::links::FdLink;
use aya::programs::tc::{self, NlOptions, TcAttachOptions};
use aya::programs::{LinkOrder, ProgramError, TcAttachType, XdpMode as AyaMode, loaded_programs};
use aya::util::KernelVersion;
use geofence_common::maps::name;

use super::call::{OfCall as _, is_permission, told};
use super::filter::{Filter, LoadError};
use super::interface::{Interface, interfaces, named};
use super::pins::{Hook, PinError, Pins};
use crate::checks::driver_errors::{Advice, advice};
use crate::config::XdpMode;

/// Why an interface is not protected.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    #[error("interface {name:?} does not exist; this machine has {}", present.join(", "))]
    NoInterface { name: String, present: Vec<String> },
    #[error(
        "two of the interfaces have indexes {first} and {second}, which share a counter; use one geofence for each"
    )]
    IndexClash { first: u32, second: u32 },
    #[error(
        "interface {name} already runs the XDP program {program}. geofence does not replace what it did not attach: \
         remove that program with its own tool, or leave {name} out of the interfaces"
    )]
    Foreign { name: String, program: Program },
    #[error(
        "missing privilege to attach to {name}: {call} was refused. It takes root, or the capabilities CAP_BPF, \
         CAP_PERFMON and CAP_NET_ADMIN; run geofence with sudo"
    )]
    Privilege { name: String, call: String },
    #[error(
        "interface {name} does not take the program in {mode} mode: BPF_LINK_CREATE: {cause}. {advice}"
    )]
    Refused {
        name: String,
        mode: &'static str,
        cause: std::io::Error,
        advice: Advice,
    },
    #[error("attaching to {name}: {}", told(.cause.as_ref()))]
    Program {
        name: String,
        cause: Box<ProgramError>,
    },
    #[error(
        "interface {name} does not take the program that remembers what is sent: {}. Without it nothing from a \
         blocked country could be told for a reply, so it is not left out",
        told(.cause.as_ref())
    )]
    Egress {
        name: String,
        cause: Box<ProgramError>,
    },
    #[error(
        "the kernel attached {name} without a link, which nothing would remove again; it was detached. Linux 5.9 or \
         later has links for XDP"
    )]
    NoLink { name: String },
    #[error("asking the kernel about the interfaces: {cause}")]
    Netlink { cause: String },
    #[error(
        "interface {name} is filtered by an earlier geofence, whose program could not be replaced: {}. It goes \
         on filtering by its own policy",
        told(.cause.as_ref())
    )]
    Update {
        name: String,
        cause: Box<ProgramError>,
    },
    #[error(
        "interface {name} does not run the program after it was attached: somebody else has taken its place"
    )]
    NotInPlace { name: String },
    #[error(transparent)]
    Pin(#[from] PinError),
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// A program as an operator would look for it: `bpftool prog show id 7`.
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

impl AttachError {
    fn privilege(name: &str, error: &ProgramError) -> Self {
        Self::Privilege {
            name: name.to_owned(),
            call: error.call().unwrap_or_else(|| "it".to_owned()),
        }
    }
}

impl Program {
    pub(super) fn with_id(id: u32) -> Self {
        // Walking the programs takes CAP_SYS_ADMIN; without it the id alone has to do.
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

impl Filter {
    /// Attaches both programs to an interface that has none, and pins their links. An error leaves nothing behind.
    pub(super) fn attach(
        &mut self,
        pins: &Pins,
        interface: &Interface,
        mode: XdpMode,
    ) -> Result<(), AttachError> {
        let attached = self.attach_both(pins, interface, mode);
        if attached.is_err() {
            // The first error is the one to tell of.
            let _ = pins.unlink(interface.index);
        }
        attached
    }

    fn attach_both(
        &mut self,
        pins: &Pins,
        interface: &Interface,
        mode: XdpMode,
    ) -> Result<(), AttachError> {
        // Egress first, so that ingress knows what was sent before its first packet.
        self.attach_egress(pins, interface)?;
        let link = match mode {
            XdpMode::Native => self.link(interface, AyaMode::Driver)?,
            XdpMode::Generic => self.link(interface, AyaMode::Skb)?,
            XdpMode::Auto => match self.link(interface, AyaMode::Driver) {
                Err(AttachError::Refused { .. }) => self.link(interface, AyaMode::Skb)?,
                other => other?,
            },
        };
        Ok(pins.keep(Hook::Ingress, interface.index, link)?)
    }

    pub(super) fn attach_egress(
        &mut self,
        pins: &Pins,
        interface: &Interface,
    ) -> Result<(), AttachError> {
        let name = &interface.name;
        let failed = |source: ProgramError| {
            if is_permission(&source) {
                AttachError::privilege(name, &source)
            } else {
                AttachError::Egress {
                    name: name.clone(),
                    cause: Box::new(source),
                }
            }
        };
        let by_link = has_tcx();
        let program = self.egress()?;
        let options = if by_link {
            // The last to see a packet sees it as it leaves.
            TcAttachOptions::TcxOrder(LinkOrder::last())
        } else {
            match tc::qdisc_add_clsact(name) {
                Ok(()) => {}
                // It is there already, perhaps for somebody else's filters.
                Err(error) if errno(&error) == Some(libc::EEXIST) => {}
                Err(error) => return Err(failed(error.into())),
            }
            // An earlier daemon's filter goes by the same name; there is none at the first start.
            let _ = tc::qdisc_detach_program(name, TcAttachType::Egress, name::EGRESS);
            TcAttachOptions::Netlink(NlOptions::default())
        };
        let id = program
            .attach_with_options(name, TcAttachType::Egress, options)
            .map_err(failed)?;
        let link = program.take_link(id).map_err(failed)?;
        if !by_link {
            // It has no owner in the kernel and stays until it is removed by name; here it must not be dropped.
            std::mem::forget(link);
            return Ok(());
        }
        let link =
            FdLink::try_from(link).map_err(|_| AttachError::NoLink { name: name.clone() })?;
        Ok(pins.keep(Hook::Egress, interface.index, link)?)
    }

    /// Attaches for a moment, in native mode, and answers with the mode that the kernel gave it.
    pub async fn probe(&mut self, name: &str) -> Result<&'static str, AttachError> {
        let present = interfaces().await?;
        let interface = named(&present, name)?;
        if let Some(id) = interface.program {
            return Err(AttachError::Foreign {
                name: name.to_owned(),
                program: Program::with_id(id),
            });
        }
        let _link = self.link(interface, AyaMode::Driver)?;
        let present = interfaces().await?;
        Ok(named(&present, name)?.mode.unwrap_or("none"))
    }

    fn link(&mut self, interface: &Interface, mode: AyaMode) -> Result<FdLink, AttachError> {
        let name = &interface.name;
        let program = self.ingress()?;
        let id = program
            .attach_to_if_index(interface.index, mode)
            .map_err(|error| explain(name, interface, mode, error))?;
        let owned = |source| AttachError::Program {
            name: name.clone(),
            cause: Box::new(source),
        };
        let link = program.take_link(id).map_err(owned)?;
        // aya falls back to an attachment without a link when the kernel knows none; dropping that detaches it.
        FdLink::try_from(link).map_err(|_| AttachError::NoLink { name: name.clone() })
    }
}

/// Whether TC programs attach by links (Linux 6.6, commit e420bed02507).
#[must_use]
pub fn has_tcx() -> bool {
    KernelVersion::current().is_ok_and(|version| version >= KernelVersion::new(6, 6, 0))
}

/// Turns a refusal into what the operator can do about it.
fn explain(name: &str, interface: &Interface, mode: AyaMode, error: ProgramError) -> AttachError {
    if is_permission(&error) {
        return AttachError::privilege(name, &error);
    }
    let errno = errno(&error);
    let found = errno.and_then(|errno| advice(name, interface.driver.as_deref(), errno));
    let name = name.to_owned();
    let (Some(errno), Some(advice)) = (errno, found) else {
        return AttachError::Program {
            name,
            cause: Box::new(error),
        };
    };
    let mode = if mode == AyaMode::Skb {
        "generic"
    } else {
        "native"
    };
    let cause = std::io::Error::from_raw_os_error(errno);
    AttachError::Refused {
        name,
        mode,
        cause,
        advice,
    }
}

/// The kernel's number for an error, or for one behind it.
pub(super) fn errno(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    std::iter::successors(Some(error), |error| error.source()).find_map(|error| {
        error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::raw_os_error)
    })
}
