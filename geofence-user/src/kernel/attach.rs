//! Attaches the programs to an interface that has none.
//!
//! Only by bpf_link, and each link is pinned at once: no other process can remove or replace it, and it outlives this
//! one. A program that geofence did not attach is named and never touched.

use std::os::fd::AsFd as _;

use aya::programs::links::FdLink;
use aya::programs::tc::{self, NlOptions, SchedClassifierLink, TcHandle};
use aya::programs::{
    LinkOrder, ProgramError, SchedClassifier, TcAttach, TcAttachType, Xdp, XdpMode as AyaMode,
};
use geofence_common::frame::Link;
use tracing::info;

use super::attach_error::AttachError;
use super::call::{describe_error, errno, is_permission};
use super::extack::explanation;
use super::filter::Filter;
use super::hook::Hook;
use super::interface::{find_interface, interfaces};
use super::pins::Pins;
use super::program_names::{programs, programs_with_rules};
use super::rollback::Rollback;
use super::take_over::Attached;
use super::version::has_tcx;
use crate::checks::driver_errors::driver_error;
use crate::config::XdpMode;
use crate::model::framing::describe;
use crate::model::interface::Interface;
use crate::model::text::printable;

impl Filter {
    /// Attaches both programs and pins their links. An error leaves nothing behind, and takes nothing away: an
    /// interface whose ingress link is pinned was attached before.
    pub(super) fn attach(
        &mut self,
        pins: &Pins,
        interface: &Interface,
        mode: XdpMode,
    ) -> Result<(), AttachError> {
        let attached = self.attach_both(pins, interface, mode);
        if attached.is_err() && !pins.has(interface.index) {
            // The first error is the one to report.
            let _ = pins.unpin_links(interface.index);
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
            XdpMode::Native => self.attach_ingress(interface, AyaMode::Driver)?,
            XdpMode::Generic => self.attach_ingress(interface, AyaMode::Skb)?,
            XdpMode::Auto => match self.attach_ingress(interface, AyaMode::Driver) {
                Ok(link) => link,
                // Whatever the driver means by it: a packet that is judged late is judged.
                Err(error) => {
                    let Some(refusal) = error.refusal() else {
                        return Err(error);
                    };
                    let link = self.attach_ingress(interface, AyaMode::Skb)?;
                    info!(
                        "{} takes no program in native mode: {refusal}",
                        interface.name
                    );
                    link
                }
            },
        };
        Ok(pins.pin_link(Hook::Ingress, interface.index, link)?)
    }

    /// Which programs judge the packets of an interface. They must be loaded.
    pub(super) fn link_of(&mut self, interface: &Interface) -> Result<Link, AttachError> {
        let link = interface.link()?;
        if self.has_programs(link) {
            return Ok(link);
        }
        Err(AttachError::NotLoaded {
            name: interface.name.clone(),
            content: describe(link),
        })
    }

    /// Attaches the egress program and pins its link, if there is one.
    pub fn attach_egress(&mut self, pins: &Pins, interface: &Interface) -> Result<(), AttachError> {
        let name = &interface.name;
        let failed = |error: ProgramError| {
            if is_permission(&error) {
                AttachError::privilege(name, &error)
            } else {
                AttachError::Egress {
                    name: name.clone(),
                    cause: describe_error(&error),
                }
            }
        };
        let has_tcx = has_tcx();
        let link = self.link_of(interface)?;
        let program = self.egress(link)?;
        if !has_tcx {
            return attach_clsact(program, interface.index).map_err(failed);
        }
        // The last program sees the packet as it leaves.
        let last = TcAttach::Tcx {
            attach_type: TcAttachType::Egress,
            order: LinkOrder::last(),
        };
        let id = program.attach(interface.index, last).map_err(failed)?;
        let link = program.take_link(id).map_err(failed)?;
        let link =
            FdLink::try_from(link).map_err(|_| AttachError::NoLink { name: name.clone() })?;
        Ok(pins.pin_link(Hook::Egress, interface.index, link)?)
    }

    /// Attaches in native mode for a moment, and returns the mode that the kernel reports.
    pub async fn probe(&mut self, name: &str) -> Result<&'static str, AttachError> {
        let present = interfaces().await?;
        let interface = find_interface(&present, name)?;
        AttachError::if_taken(interface)?;
        let _link = self.attach_ingress(interface, AyaMode::Driver)?;
        let present = interfaces().await?;
        Ok(find_interface(&present, name)?.mode.unwrap_or("none"))
    }

    /// Attaches to an interface that has come or returned, with the counter slot that was reserved for it.
    pub fn attach_again(
        &mut self,
        pins: &Pins,
        interface: &Interface,
        slot: u32,
        mode: XdpMode,
    ) -> Result<Attached, AttachError> {
        let link = self.link_of(interface)?;
        let program = self.program_id(link)?;
        AttachError::if_taken(interface)?;
        self.assign_slot(interface.index, slot)?;
        let attached = self.attach(pins, interface, mode);
        if attached.is_err() {
            // Only a protected interface has a slot. The first error is the one to report.
            let _ = self.assign_slot(interface.index, 0);
        }
        attached.map(|()| Attached {
            index: interface.index,
            // The next look at the interface says which.
            mode: "none",
            program,
            link_type: interface.link_type,
            is_adopted: false,
        })
    }

    /// Puts the programs for its link behind the links of an interface whose type has changed; returns the id of the
    /// ingress program.
    pub fn follow_link_type(
        &mut self,
        pins: &Pins,
        interface: &Interface,
    ) -> Result<u32, AttachError> {
        let link = self.link_of(interface)?;
        self.replace(pins, interface, &mut Rollback::default())?;
        Ok(self.program_id(link)?)
    }

    fn attach_ingress(
        &mut self,
        interface: &Interface,
        mode: AyaMode,
    ) -> Result<FdLink, AttachError> {
        let name = &interface.name;
        let link = self.link_of(interface)?;
        let program = self.ingress(link)?;
        let id = program
            .attach(interface.index, mode)
            .map_err(|error| refusal(interface, mode, program, error))?;
        let link = program
            .take_link(id)
            .map_err(|error| AttachError::Program {
                name: name.clone(),
                cause: describe_error(&error),
            })?;
        // A kernel without links makes aya attach without one; dropping that attachment detaches it.
        FdLink::try_from(link).map_err(|_| AttachError::NoLink { name: name.clone() })
    }
}

/// A place among the egress filters of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EgressPlace {
    pub(super) priority: u16,
    pub(super) handle: u32,
}

/// Our place among the filters of the clsact qdisc, for kernels without TCX: a handle that no one gets by counting from
/// one, as the kernel does.
pub(super) const EGRESS_PLACE: EgressPlace = EgressPlace {
    priority: 0xbf00,
    handle: 0x6765_6f66,
};

/// Puts an egress program in the place of the clsact qdisc that is ours, which replaces the one of an earlier daemon in
/// one call. For kernels without TCX.
fn attach_clsact(program: &mut SchedClassifier, interface: u32) -> Result<(), ProgramError> {
    let parent = TcHandle::from(TcAttachType::Egress);
    let options = NlOptions {
        priority: EGRESS_PLACE.priority,
        handle: TcHandle::from(EGRESS_PLACE.handle),
        classid: None,
    };
    match tc::qdisc_add_clsact(interface) {
        Ok(()) => {}
        // It exists already, perhaps for filters of others.
        Err(error) if errno(&error) == Some(libc::EEXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let before = SchedClassifierLink::attached(
        interface,
        parent,
        options.priority,
        options.handle,
        options.classid,
    )?;
    let id = match program.attach_to_link(before) {
        Err(error) if errno(&error) == Some(libc::ENOENT) => {
            // An earlier version let the kernel choose the place.
            remove_egress(interface);
            program.attach(interface, TcAttach::Netlink { parent, options })?
        }
        replaced => replaced?,
    };
    // A netlink attachment stays until it is removed by name; dropping it here would detach it.
    std::mem::forget(program.take_link(id)?);
    Ok(())
}

/// Removes the egress programs that an interface runs without a link, by their names.
pub(super) fn remove_egress(interface: u32) {
    for link in [Link::Ethernet, Link::Ip] {
        for [_, program] in [programs(link), programs_with_rules(link)] {
            // If none is there, none is to remove.
            let _ = tc::qdisc_detach_program(interface, TcAttachType::Egress.into(), program);
        }
    }
}

/// Turns a refusal into what the operator can do about it.
fn refusal(
    interface: &Interface,
    mode: AyaMode,
    program: &Xdp,
    error: ProgramError,
) -> AttachError {
    if is_permission(&error) {
        return AttachError::privilege(&interface.name, &error);
    }
    let name = interface.name.clone();
    let program = program.fd().ok();
    let said = program.and_then(|fd| explanation(interface.index, mode, fd.as_fd()));
    let said = said.map_or_else(String::new, |said| {
        format!(" (the kernel says: \"{}\")", printable(&said))
    });
    let errno = errno(&error);
    let meaning = errno.and_then(|errno| driver_error(&name, interface.driver.as_deref(), errno));
    let (Some(errno), Some(meaning)) = (errno, meaning) else {
        return AttachError::Program {
            name,
            cause: describe_error(&error) + &said,
        };
    };
    AttachError::Refused {
        name,
        mode: if mode == AyaMode::Skb {
            "generic"
        } else {
            "native"
        },
        cause: std::io::Error::from_raw_os_error(errno),
        said,
        meaning,
    }
}
