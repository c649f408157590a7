//! Undoes a change of programs: puts back the programs that it has replaced so far.
//!
//! A filter is two programs on each interface, so a change is several calls, and any of them can fail. The previous
//! programs are held open from before the first call, or the kernel would free them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use aya::programs::links::FdLink;
use aya::programs::{ProgramError, ProgramInfo, SchedClassifier, Xdp, loaded_programs};
use aya_obj::programs::XdpAttachType;
use geofence_common::maps::name;
use tracing::error;

use super::call::program_error;
use super::hook::Hook;
use super::link_update::{update_egress, update_ingress};
use super::pin_error::PinError;
use super::pins::Pins;

/// A program that is or was behind a link.
enum PreviousProgram {
    Ingress(Xdp),
    Egress(SchedClassifier),
}

/// The links that were changed, and the programs that were behind them.
#[derive(Default)]
pub(super) struct Rollback {
    previous: BTreeMap<u32, PreviousProgram>,
    /// Links in the order of their change, with the id of the program; `None` if there was no link.
    changed: Vec<(Hook, u32, Option<u32>)>,
}

impl Rollback {
    /// Holds the programs behind the links of these interfaces. That needs CAP_SYS_ADMIN; without it the change goes on
    /// and cannot be undone.
    pub(super) fn hold(pins: &Pins, indexes: &[u32]) -> Result<Self, PinError> {
        let mut wanted = BTreeMap::new();
        for index in indexes {
            for hook in Hook::ALL {
                wanted.extend(pins.program(hook, *index)?.map(|id| (id, hook)));
            }
        }
        let mut rollback = Self::default();
        if wanted.is_empty() {
            return Ok(rollback);
        }
        for info in loaded_programs().filter_map(Result::ok) {
            let id = info.id();
            if let Some(hook) = wanted.get(&id)
                && let Ok(program) = PreviousProgram::from_info(*hook, info)
            {
                rollback.previous.insert(id, program);
            }
        }
        Ok(rollback)
    }

    /// Records that a link is about to be changed or made.
    pub(super) fn record(&mut self, pins: &Pins, hook: Hook, index: u32) -> Result<(), PinError> {
        let program = pins.program(hook, index)?;
        self.changed.push((hook, index, program));
        Ok(())
    }

    /// Removes the last record, because that link was not changed.
    pub(super) fn forget_last(&mut self) {
        self.changed.pop();
    }

    /// Undoes every change, the last one first.
    pub(super) fn undo(&mut self, pins: &Pins) {
        for (hook, index, program) in std::mem::take(&mut self.changed).into_iter().rev() {
            let done = match program {
                None => pins
                    .unpin_link(hook, index)
                    .map(drop)
                    .map_err(program_error),
                Some(id) => self.put_back(pins, hook, index, id),
            };
            if let Err(cause) = done {
                error!(
                    "cannot put back the previous {} program of interface {index}: {cause}. The interface runs the \
                     program of the start that failed: start geofence again, or detach the interface",
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
        let link = pins.open(hook, index).map_err(program_error)?;
        match (link, self.previous.get_mut(&id)) {
            (Some(link), Some(program)) => program.update(link),
            _ => Err(ProgramError::NotLoaded),
        }
    }
}

impl PreviousProgram {
    fn from_info(hook: Hook, info: ProgramInfo) -> Result<Self, ProgramError> {
        Ok(match hook {
            Hook::Ingress => {
                let name = Cow::Borrowed(name::PROGRAM);
                let program = Xdp::from_program_info(info, name, XdpAttachType::Interface)?;
                Self::Ingress(program)
            }
            Hook::Egress => {
                let name = Cow::Borrowed(name::EGRESS);
                Self::Egress(SchedClassifier::from_program_info(info, name)?)
            }
        })
    }

    fn update(&mut self, link: FdLink) -> Result<(), ProgramError> {
        match self {
            Self::Ingress(program) => update_ingress(program, link),
            Self::Egress(program) => update_egress(program, link),
        }
    }
}
