//! Attaching the program to an interface, and saying plainly why it does not attach.
//!
//! By bpf_link only: a link dies with its owner unless it is pinned, and nobody else can remove or replace it. A
//! program that somebody else attached is named and never touched.

use std::fmt;

use aya::programs::links::FdLink;
use aya::programs::tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions};
use aya::programs::{LinkOrder, ProgramError, TcAttachType, XdpMode as AyaMode, loaded_programs};
use aya::util::KernelVersion;
use rtnetlink::packet_route::link::{LinkAttribute, LinkXdp, XdpAttached};

use super::filter::{Filter, LoadError, is_permission};
use crate::advice::{Advice, advice};
use crate::config::XdpMode;
use crate::doctor::driver;

/// What an interface was found to be.
#[derive(Clone, Debug)]
struct Interface {
    index: u32,
    driver: Option<String>,
    /// The XDP program that runs on it already.
    program: Option<u32>,
    mode: Option<&'static str>,
}

/// An attached filter; dropped, it detaches.
#[derive(Debug)]
pub struct Attached {
    pub interface: String,
    pub index: u32,
    pub slot: u32,
    /// `native`, `generic` or `offload`, as the kernel reports it.
    pub mode: &'static str,
    program: u32,
    _link: FdLink,
    _egress: Egress,
}

/// The egress program's attachment; dropped, it detaches.
#[derive(Debug)]
#[expect(dead_code, reason = "held for as long as it is to stay attached")]
enum Egress {
    /// By a link of its own (Linux 6.6 and later).
    Tcx(FdLink),
    /// As a filter of the clsact queueing discipline.
    Clsact(SchedClassifierLink),
}

impl Attached {
    /// Whether the interface runs the program at this moment.
    pub async fn is_in_place(&self) -> bool {
        find(&self.interface).await.is_ok_and(|interface| {
            interface.index == self.index && interface.program == Some(self.program)
        })
    }
}

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
        "missing privilege to attach to {name}: it takes root, or the capabilities CAP_BPF and CAP_NET_ADMIN; run \
         geofence with sudo"
    )]
    Privilege { name: String },
    #[error("interface {name} does not take the program in {mode} mode: {cause}. {advice}")]
    Refused {
        name: String,
        mode: &'static str,
        cause: std::io::Error,
        advice: Advice,
    },
    #[error("attaching to {name}: {source}")]
    Program {
        name: String,
        source: Box<ProgramError>,
    },
    #[error(
        "interface {name} does not take the program that remembers what is sent: {source}. Without it nothing from a \
         blocked country could be told for a reply, so it is not left out"
    )]
    Egress {
        name: String,
        source: Box<ProgramError>,
    },
    #[error(
        "the kernel attached {name} without a link, which nothing would remove again; it was detached. Linux 5.9 or \
         later has links for XDP"
    )]
    NoLink { name: String },
    #[error("asking the kernel about interface {name}: {cause}")]
    Netlink { name: String, cause: String },
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

impl Program {
    fn with_id(id: u32) -> Self {
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
    /// Attaches to an interface and gives it counters of its own.
    pub async fn attach(
        &mut self,
        name: &str,
        slot: u32,
        mode: XdpMode,
    ) -> Result<Attached, AttachError> {
        let interface = find(name).await?;
        if let Some(id) = interface.program {
            return Err(AttachError::Foreign {
                name: name.to_owned(),
                program: Program::with_id(id),
            });
        }
        if let Some(first) = self.clash(interface.index) {
            return Err(AttachError::IndexClash {
                first,
                second: interface.index,
            });
        }
        // Counters first: a packet must not be counted for another interface while the link is being made. Then egress,
        // so that ingress knows what was sent before its first packet.
        self.assign_slot(interface.index, slot)?;
        let egress = self.attach_egress(name, has_tcx())?;
        let link = match mode {
            XdpMode::Native => self.link(name, &interface, AyaMode::Driver)?,
            XdpMode::Generic => self.link(name, &interface, AyaMode::Skb)?,
            XdpMode::Auto => match self.link(name, &interface, AyaMode::Driver) {
                Err(AttachError::Refused { .. }) => self.link(name, &interface, AyaMode::Skb)?,
                other => other?,
            },
        };
        let found = find(name).await?;
        let (mode, program) = (
            found.mode.unwrap_or("none"),
            found.program.unwrap_or_default(),
        );
        Ok(Attached {
            interface: name.to_owned(),
            index: interface.index,
            slot,
            mode,
            program,
            _link: link,
            _egress: egress,
        })
    }

    fn attach_egress(&mut self, name: &str, by_link: bool) -> Result<Egress, AttachError> {
        let failed = |source: ProgramError| {
            if is_permission(&source) {
                AttachError::Privilege {
                    name: name.to_owned(),
                }
            } else {
                AttachError::Egress {
                    name: name.to_owned(),
                    source: Box::new(source),
                }
            }
        };
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
            TcAttachOptions::Netlink(NlOptions::default())
        };
        let id = program
            .attach_with_options(name, TcAttachType::Egress, options)
            .map_err(failed)?;
        let link = program.take_link(id).map_err(failed)?;
        if !by_link {
            return Ok(Egress::Clsact(link));
        }
        FdLink::try_from(link)
            .map(Egress::Tcx)
            .map_err(|_| AttachError::NoLink {
                name: name.to_owned(),
            })
    }

    fn link(
        &mut self,
        name: &str,
        interface: &Interface,
        mode: AyaMode,
    ) -> Result<FdLink, AttachError> {
        let program = self.ingress()?;
        let id = program
            .attach_to_if_index(interface.index, mode)
            .map_err(|error| explain(name, interface, mode, error))?;
        let owned = |source| AttachError::Program {
            name: name.to_owned(),
            source: Box::new(source),
        };
        let link = program.take_link(id).map_err(owned)?;
        // aya falls back to an attachment without a link when the kernel knows none; dropping that detaches it.
        FdLink::try_from(link).map_err(|_| AttachError::NoLink {
            name: name.to_owned(),
        })
    }
}

/// Whether TC programs attach by links (Linux 6.6, commit e420bed02507).
fn has_tcx() -> bool {
    KernelVersion::current().is_ok_and(|version| version >= KernelVersion::new(6, 6, 0))
}

/// Turns a refusal into what the operator can do about it.
fn explain(name: &str, interface: &Interface, mode: AyaMode, error: ProgramError) -> AttachError {
    let name = name.to_owned();
    if is_permission(&error) {
        return AttachError::Privilege { name };
    }
    let errno = errno(&error);
    let found = errno.and_then(|errno| advice(&name, interface.driver.as_deref(), errno));
    let (Some(errno), Some(advice)) = (errno, found) else {
        return AttachError::Program {
            name,
            source: Box::new(error),
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
fn errno(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    std::iter::successors(Some(error), |error| error.source()).find_map(|error| {
        error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::raw_os_error)
    })
}

/// Asks the kernel for an interface by name, and for the names there are when it has none such.
async fn find(name: &str) -> Result<Interface, AttachError> {
    let failed = |cause: &dyn fmt::Display| AttachError::Netlink {
        name: name.to_owned(),
        cause: cause.to_string(),
    };
    let (connection, handle, _) = rtnetlink::new_connection().map_err(|error| failed(&error))?;
    let connection = tokio::spawn(connection);
    let mut links = handle.link().get().execute();
    let mut present = Vec::new();
    let mut found = None;
    while let Some(link) = futures_util::TryStreamExt::try_next(&mut links)
        .await
        .map_err(|error| failed(&error))?
    {
        let link_name = link.attributes.iter().find_map(|attribute| {
            if let LinkAttribute::IfName(name) = attribute {
                Some(name.clone())
            } else {
                None
            }
        });
        let Some(link_name) = link_name else { continue };
        if link_name == name {
            let mut interface = Interface {
                index: link.header.index,
                driver: driver(&link.attributes),
                program: None,
                mode: None,
            };
            for attribute in link.attributes.iter() {
                if let LinkAttribute::Xdp(facts) = attribute {
                    facts.iter().for_each(|fact| interface.learn(fact));
                }
            }
            found = Some(interface);
        }
        present.push(link_name);
    }
    connection.abort();
    found.ok_or_else(|| AttachError::NoInterface {
        name: name.to_owned(),
        present,
    })
}

impl Interface {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the other facts are not asked for"
    )]
    fn learn(&mut self, fact: &LinkXdp) {
        match fact {
            LinkXdp::ProgId(id)
            | LinkXdp::DrvProgId(id)
            | LinkXdp::SkbProgId(id)
            | LinkXdp::HwProgId(id) => {
                self.program = Some(*id).filter(|id| *id != 0);
            }
            LinkXdp::Attached(attached) => {
                self.mode = match attached {
                    XdpAttached::Driver => Some("native"),
                    XdpAttached::SocketBuffer => Some("generic"),
                    XdpAttached::Hardware => Some("offload"),
                    XdpAttached::Multiple => Some("multiple"),
                    XdpAttached::None | XdpAttached::Other(_) => None,
                    _ => None,
                };
            }
            _ => {}
        }
    }
}
