//! Going back: what a change of programs has replaced so far, put in its place again when the rest of it fails.
//!
//! A filter is two programs on each interface, so its change is as many calls, and any of them can fail. The programs
//! of before are held from before the first call on, or the kernel would free them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use aya::programs::links::FdLink;
use aya::programs::tc::SchedClassifierLink;
use aya::programs::xdp::XdpLink;
use aya::programs::{ProgramError, ProgramInfo, SchedClassifier, Xdp, loaded_programs};
use aya_obj::programs::XdpAttachType;
use geofence_common::maps::name;
use tracing::error;

use super::adopt::{of_link, other};
use super::pins::{Hook, PinError, Pins};

/// A program that is or was behind a link.
enum Earlier {
    Ingress(Xdp),
    Egress(SchedClassifier),
}

/// What has been changed, and the programs that were there.
#[derive(Default)]
pub(super) struct Undo {
    earlier: BTreeMap<u32, Earlier>,
    /// Links in the order of their change; without a program where there was no link.
    changed: Vec<(Hook, u32, Option<u32>)>,
}

impl Undo {
    /// Holds the programs behind the links of these interfaces. To reach them takes CAP_SYS_ADMIN; without it there is
    /// no going back, and nothing else is lost.
    pub(super) fn hold(pins: &Pins, indexes: &[u32]) -> Result<Self, PinError> {
        let mut wanted = BTreeMap::new();
        for index in indexes {
            for hook in Hook::ALL {
                wanted.extend(pins.program_of(hook, *index)?.map(|id| (id, hook)));
            }
        }
        let mut undo = Self::default();
        if wanted.is_empty() {
            return Ok(undo);
        }
        for info in loaded_programs().filter_map(Result::ok) {
            let id = info.id();
            if let Some(hook) = wanted.get(&id)
                && let Ok(program) = Earlier::of(*hook, info)
            {
                undo.earlier.insert(id, program);
            }
        }
        Ok(undo)
    }

    /// Notes that a link is about to be changed, or made where there was none.
    pub(super) fn note(&mut self, pins: &Pins, hook: Hook, index: u32) -> Result<(), PinError> {
        let program = pins.program_of(hook, index)?;
        self.changed.push((hook, index, program));
        Ok(())
    }

    /// Takes the last note back: that link was not changed.
    pub(super) fn forget_last(&mut self) {
        self.changed.pop();
    }

    /// Puts everything back, the last change first.
    pub(super) fn undo(&mut self, pins: &Pins) {
        for (hook, index, program) in std::mem::take(&mut self.changed).into_iter().rev() {
            let done = match program {
                None => pins.unlink_one(hook, index).map(drop).map_err(other),
                Some(id) => self.put_back(pins, hook, index, id),
            };
            if let Err(cause) = done {
                error!(
                    "the {} program of interface {index} could not be put back: {cause}. What is there now belongs to \
                     the failed start: start geofence again, or detach that interface",
                    hook.name()
                );
            }
        }
    }

    fn put_back(
        &mut self,
        pins: &Pins,
        hook: Hook,
        index: u32,
        id: u32,
    ) -> Result<(), ProgramError> {
        let link = pins.open(hook, index).map_err(other)?;
        let (Some(link), Some(program)) = (link, self.earlier.get_mut(&id)) else {
            return Err(ProgramError::NotLoaded);
        };
        program.put_behind(link)
    }
}

impl Earlier {
    fn of(hook: Hook, info: ProgramInfo) -> Result<Self, ProgramError> {
        Ok(match hook {
            Hook::Ingress => {
                let name = Cow::Borrowed(name::PROGRAM);
                Self::Ingress(Xdp::from_program_info(
                    info,
                    name,
                    XdpAttachType::Interface,
                )?)
            }
            Hook::Egress => {
                let name = Cow::Borrowed(name::EGRESS);
                Self::Egress(SchedClassifier::from_program_info(info, name)?)
            }
        })
    }

    fn put_behind(&mut self, link: FdLink) -> Result<(), ProgramError> {
        match self {
            Self::Ingress(program) => {
                let id = program.attach_to_link(XdpLink::try_from(link).map_err(of_link)?)?;
                program.take_link(id).map(drop)
            }
            Self::Egress(program) => {
                let link = SchedClassifierLink::try_from(link).map_err(of_link)?;
                let id = program.attach_to_link(link)?;
                program.take_link(id).map(drop)
            }
        }
    }
}
