//! Starts filtering: attaches to the named interfaces and takes over those that an earlier daemon filters.
//!
//! Once the new program has its whole image, one call per link replaces the old program. No interface is ever without a
//! filter, and an error leaves the earlier program in place. Interfaces that the new configuration no longer names are
//! detached last, after everything else has succeeded.

use std::collections::BTreeSet;

use aya::programs::ProgramError;
use tracing::{info, warn};

use super::attach_error::AttachError;
use super::bpffs::is_private;
use super::call::{describe_error, errno};
use super::filter::Filter;
use super::hook::Hook;
use super::interface::interfaces;
use super::link_update::{update_egress, update_ingress};
use super::pins::Pins;
use super::rollback::Rollback;
use super::survey::{NamedInterface, Plan, Survey};
use super::version::has_tcx;
use crate::checks::topology::Stack;
use crate::config::XdpMode;
use crate::model::interface::Interface;
use crate::model::link_type::LinkType;
use crate::model::private_pins::PRIVATE_PINS;
use crate::model::word::Word as _;

/// An interface of the configuration as a start leaves it.
#[derive(Debug)]
pub struct Placed {
    /// The name in the configuration.
    pub interface: String,
    /// The slot of its counters.
    pub slot: u32,
    /// Where the filter is attached, or why it is not.
    pub attached: Result<Attached, AttachError>,
}

/// An interface that the filter runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    pub index: u32,
    /// `native`, `generic` or `offload`, as the kernel reports it.
    pub mode: &'static str,
    /// The id of the program.
    pub program: u32,
    /// What the program was chosen by.
    pub link_type: LinkType,
    /// Whether an earlier daemon had attached it.
    pub is_adopted: bool,
}

/// A slot of counters, and whether it is new for its interface.
#[derive(Clone, Copy)]
struct Slot {
    number: u32,
    is_new: bool,
}

impl Filter {
    /// Runs the program, which must have its image, on every interface of the survey that takes it.
    ///
    /// Our own machines are behind the interfaces with an `inner` name. After an error, each interface is as it was:
    /// without a filter, or with the earlier one.
    pub async fn take_over(
        &mut self,
        mut survey: Survey,
        mode: XdpMode,
        inner: &[String],
    ) -> Result<Vec<Placed>, AttachError> {
        let mut fresh = BTreeSet::new();
        let placed = self
            .put_in_place(&mut survey, mode, inner, &mut fresh)
            .await;
        let pins = &survey.pins;
        if placed.is_err() {
            // The first error is the one to report.
            let _ = pins.detach(&fresh).await;
            if pins.indexes().is_ok_and(|indexes| indexes.is_empty()) {
                let _ = pins.remove();
            }
        }
        placed
    }

    async fn put_in_place(
        &mut self,
        survey: &mut Survey,
        mode: XdpMode,
        inner: &[String],
        fresh: &mut BTreeSet<u32>,
    ) -> Result<Vec<Placed>, AttachError> {
        let pins = &survey.pins.clone();
        pins.prepare()?;
        if is_private() {
            warn!("{PRIVATE_PINS}");
        }
        // Counters first: no packet may be counted for another interface while links change.
        self.copy_counters()?;
        let slots = self.slots(survey)?;
        for (named, slot) in survey.named.iter().zip(&slots) {
            if slot.is_new {
                self.clear_counters(slot.number)?;
                if let Some(interface) = named.interface() {
                    self.assign_slot(interface.index, slot.number)?;
                }
            }
        }
        self.mark_survey(survey, inner).await?;
        let adopted = survey.named.iter().filter_map(NamedInterface::adopted);
        let adopted: Vec<u32> = adopted.map(|interface| interface.index).collect();
        let mut rollback = Rollback::hold(pins, &adopted)?;
        let staged = self.stage_tables(pins)?;
        let changed = self
            .change(survey, mode, &slots, fresh, &mut rollback)
            .await;
        let placed = match changed {
            Ok(placed) => placed,
            Err(error) => {
                rollback.undo(pins);
                pins.drop_staged(&staged);
                return Err(error);
            }
        };
        self.commit_tables(pins, &staged)?;
        for Placed {
            interface,
            attached,
            ..
        } in &placed
        {
            if let Ok(one) = attached
                && one.is_adopted
                && mode != XdpMode::Auto
                && one.mode != mode.word()
            {
                warn!(
                    "{interface} stays in {} mode, in which an earlier daemon attached it. To change the mode, detach \
                     it with `geofence detach --interface {interface}`, which leaves it unfiltered, and start again",
                    one.mode
                );
            }
        }
        let gone = pins.detach(&survey.unnamed).await?;
        for index in survey
            .unnamed_filtering
            .iter()
            .filter(|one| gone.contains(one))
        {
            info!("the interface with index {index} is no longer named: detached");
        }
        pins.remove_other_layouts()?;
        Ok(placed)
    }

    /// Attaches to the new interfaces, then replaces the earlier programs, and has the kernel confirm the result.
    ///
    /// A new interface that does not take the program is left out. An earlier program that cannot be replaced is an
    /// error, after which it filters as before.
    async fn change(
        &mut self,
        survey: &mut Survey,
        mode: XdpMode,
        slots: &[Slot],
        fresh: &mut BTreeSet<u32>,
        rollback: &mut Rollback,
    ) -> Result<Vec<Placed>, AttachError> {
        let pins = survey.pins.clone();
        // The kernel refuses a program below one that runs already.
        for at in Stack(&interfaces().await?).lowest_first(&survey.indexes()) {
            let Some(named) = survey.named.get_mut(at) else {
                continue;
            };
            let Plan::Attach(interface) = &named.plan else {
                continue;
            };
            let index = interface.index;
            match self.attach(&pins, interface, mode) {
                Ok(()) => {
                    fresh.insert(index);
                }
                Err(error) => {
                    // Only a protected interface has a slot.
                    self.assign_slot(index, 0)?;
                    named.plan = Plan::Leave(error);
                }
            }
        }
        survey.refuse_hopeless()?;
        for interface in survey.named.iter().filter_map(NamedInterface::adopted) {
            self.replace(&pins, interface, rollback)?;
        }
        self.placed(survey, slots).await
    }

    /// Marks the named interfaces as facing outside, those included that take no program now. So do those that an
    /// earlier program filters until they are detached; the daemon's first look makes them inside.
    async fn mark_survey(&mut self, survey: &Survey, inner: &[String]) -> Result<(), AttachError> {
        let present = interfaces().await?;
        let is_named =
            |one: &&Interface| survey.named.iter().any(|named| one.is_named(&named.name));
        let named = present.iter().filter(is_named).map(|one| one.index);
        let protected = named
            .chain(survey.unnamed_filtering.iter().copied())
            .collect();
        Ok(self.mark_devices(&present, &protected, inner)?)
    }

    /// Chooses the slot of each named interface.
    fn slots(&mut self, survey: &Survey) -> Result<Vec<Slot>, AttachError> {
        let mut known = Vec::with_capacity(survey.named.len());
        let mut taken = BTreeSet::new();
        for named in &survey.named {
            let slot = match named.adopted() {
                Some(interface) => self.slot(interface.index)?,
                None => None,
            };
            // If two interfaces claim the same slot, the second starts at zero in another one.
            known.push(slot.filter(|slot| taken.insert(*slot)));
        }
        for index in &survey.unnamed_filtering {
            taken.extend(self.slot(*index)?);
        }
        let slots = known.into_iter().map(|slot| {
            // There is a slot for each interface, so one is free.
            let free = || (1..).find(|slot| !taken.contains(slot)).unwrap_or(0);
            let number = slot.unwrap_or_else(free);
            taken.insert(number);
            Slot {
                number,
                is_new: slot.is_none(),
            }
        });
        Ok(slots.collect())
    }

    /// Puts both programs behind the links of an earlier daemon.
    pub(super) fn replace(
        &mut self,
        pins: &Pins,
        interface: &Interface,
        rollback: &mut Rollback,
    ) -> Result<(), AttachError> {
        let index = interface.index;
        let link = self.link_of(interface)?;
        let failed = |cause: ProgramError| AttachError::Update {
            name: interface.name.clone(),
            cause: describe_error(&cause),
        };
        // The new ingress program finds what the old one wrote in the same tables, so the order loses nothing.
        let egress = pins.open(Hook::Egress, index)?.filter(|_| has_tcx());
        rollback.record(pins, Hook::Egress, index)?;
        let replaced = match egress {
            None => self.attach_egress(pins, interface),
            Some(pinned) => match update_egress(self.egress(link)?, pinned) {
                // The link was detached beneath its pin.
                Err(error) if errno(&error) == Some(libc::ENOLINK) => {
                    self.attach_egress(pins, interface)
                }
                updated => updated.map_err(failed),
            },
        };
        if let Err(error) = replaced {
            rollback.forget_last();
            return Err(error);
        }
        let Some(pinned) = pins.open(Hook::Ingress, index)? else {
            return Err(AttachError::NotInPlace {
                name: interface.name.clone(),
            });
        };
        // The last change of this interface: one that fails changes nothing.
        rollback.record(pins, Hook::Ingress, index)?;
        let updated = update_ingress(self.ingress(link)?, pinned).map_err(failed);
        if updated.is_err() {
            rollback.forget_last();
        }
        updated
    }

    /// What the kernel reports of the named interfaces. Those that are not left out must run the program.
    async fn placed(
        &mut self,
        survey: &mut Survey,
        slots: &[Slot],
    ) -> Result<Vec<Placed>, AttachError> {
        let present = interfaces().await?;
        let mut placed = Vec::with_capacity(slots.len());
        let named = std::mem::take(&mut survey.named);
        for (NamedInterface { name, plan }, slot) in named.into_iter().zip(slots) {
            let is_adopted = matches!(plan, Plan::Adopt(_));
            let attached = match plan {
                Plan::Attach(interface) | Plan::Adopt(interface) => {
                    let index = interface.index;
                    let link = self.link_of(&interface)?;
                    let program = self.program_id(link)?;
                    let found = present
                        .iter()
                        .find(|one| one.index == index && one.program == Some(program));
                    let attached = found.map(|found| Attached {
                        index,
                        mode: found.mode.unwrap_or("none"),
                        program,
                        link_type: interface.link_type,
                        is_adopted,
                    });
                    let attached =
                        attached.ok_or_else(|| AttachError::NotInPlace { name: name.clone() });
                    if attached.is_err() {
                        if is_adopted || survey.is_strict {
                            return attached.map(|_| Vec::new());
                        }
                        survey.pins.unpin_links(index)?;
                        self.assign_slot(index, 0)?;
                    }
                    attached
                }
                Plan::Leave(error) => Err(error),
            };
            placed.push(Placed {
                interface: name,
                slot: slot.number,
                attached,
            });
        }
        Ok(placed)
    }
}
