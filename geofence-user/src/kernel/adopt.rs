//! Taking over what an earlier daemon left: the same links and the same tables, with a new program behind them.
//!
//! The program that filters is replaced by one call for each link, when the new one has its whole image; there is no
//! moment without a filter, and an error leaves the earlier program where it is. What the new configuration no longer
//! names is detached last, when everything else has succeeded.

use std::collections::BTreeSet;

use aya::programs::ProgramError;
use aya::programs::links::{FdLink, LinkError};
use aya::programs::tc::SchedClassifierLink;
use aya::programs::xdp::XdpLink;
use geofence_common::maps::INTERFACES_MAX;
use tracing::{info, warn};

use super::attach::{AttachError, Program, errno, has_tcx};
use super::filter::Filter;
use super::interface::{Interface, interfaces, named};
use super::pins::{Hook, Pins};
use super::rollback::Undo;
use super::tables::drop_tables;
use crate::config::XdpMode;
use crate::model::word::Word as _;

/// An interface with the filter on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// The name in the configuration, whatever the interface is called by now.
    pub interface: String,
    pub index: u32,
    /// Where its counters are.
    pub slot: u32,
    /// `native`, `generic` or `offload`, as the kernel reports it.
    pub mode: &'static str,
    /// The program's number.
    pub program: u32,
    /// Whether an earlier daemon had attached it.
    pub is_adopted: bool,
}

/// What there is before anything changes: the interfaces named, and what an earlier daemon left.
#[derive(Clone, Debug)]
pub struct Survey {
    pins: Pins,
    places: Vec<Place>,
    /// Links of interfaces that are not named, and those among them that filter.
    others: BTreeSet<u32>,
    filtering: Vec<u32>,
}

#[derive(Clone, Debug)]
struct Place {
    interface: Interface,
    /// Whether an earlier daemon's program runs there.
    is_held: bool,
}

impl Survey {
    /// Looks for the interfaces, and refuses those that somebody else's program runs on.
    pub async fn take(pins: &Pins, names: &[String]) -> Result<Self, AttachError> {
        let present = interfaces().await?;
        let mut places = Vec::with_capacity(names.len());
        for name in names {
            let interface = named(&present, name)?.clone();
            let is_held = pins.is_on(&interface)?;
            if let (Some(id), false) = (interface.program, is_held) {
                return Err(AttachError::Foreign {
                    name: name.clone(),
                    program: Program::with_id(id),
                });
            }
            places.push(Place { interface, is_held });
        }
        let is_named = |index: u32| places.iter().any(|place| place.interface.index == index);
        let mut others = pins.indexes()?;
        others.retain(|index| !is_named(*index));
        let mut filtering = Vec::new();
        for one in present.iter().filter(|one| others.contains(&one.index)) {
            if pins.is_on(one)? {
                filtering.push(one.index);
            }
        }
        let indexes = places.iter().map(|place| place.interface.index);
        let indexes: Vec<u32> = indexes.chain(filtering.iter().copied()).collect();
        for (at, first) in indexes.iter().enumerate() {
            let clash = |other: &&u32| {
                **other != *first && **other % INTERFACES_MAX == *first % INTERFACES_MAX
            };
            if let Some(second) = indexes[at..].iter().find(clash) {
                return Err(AttachError::IndexClash {
                    first: *first,
                    second: *second,
                });
            }
        }
        Ok(Self {
            pins: pins.clone(),
            places,
            others,
            filtering,
        })
    }

    /// How many interfaces are counted until the change is over.
    #[must_use]
    pub fn interfaces(&self) -> u32 {
        u32::try_from(self.places.len() + self.filtering.len()).unwrap_or(u32::MAX)
    }

    /// Whether an earlier daemon's program filters any of the interfaces.
    #[must_use]
    pub fn is_adoption(&self) -> bool {
        self.places.iter().any(|place| place.is_held)
    }
}

impl Filter {
    /// Puts the program, which must have its image, on every interface of the survey.
    ///
    /// An error leaves interfaces that were not filtered without a filter, and those that were with one.
    pub async fn take_over(
        &mut self,
        survey: &Survey,
        mode: XdpMode,
    ) -> Result<Vec<Attached>, AttachError> {
        let mut fresh = BTreeSet::new();
        let attached = self.put_in_place(survey, mode, &mut fresh).await;
        let pins = &survey.pins;
        if attached.is_err() {
            // The first error is the one to tell of.
            let _ = pins.detach(&fresh).await;
            if pins.indexes().is_ok_and(|indexes| indexes.is_empty()) {
                let _ = pins.remove();
            }
        }
        attached
    }

    async fn put_in_place(
        &mut self,
        survey: &Survey,
        mode: XdpMode,
        fresh: &mut BTreeSet<u32>,
    ) -> Result<Vec<Attached>, AttachError> {
        let pins = &survey.pins;
        pins.prepare()?;
        // Counters first: a packet must not be counted for another interface while a link is being made.
        self.carry_counters()?;
        let slots = self.slots(survey)?;
        for (place, (slot, is_new)) in survey.places.iter().zip(&slots) {
            if *is_new {
                self.clear_counters(*slot)?;
                self.assign_slot(place.interface.index, *slot)?;
            }
        }
        let held = survey.places.iter().filter(|place| place.is_held);
        let held: Vec<u32> = held.map(|place| place.interface.index).collect();
        let mut undo = Undo::hold(pins, &held)?;
        let staged = self.stage_tables(pins)?;
        let changed = self.change(survey, mode, &slots, fresh, &mut undo).await;
        let attached = match changed {
            Ok(attached) => attached,
            Err(error) => {
                undo.undo(pins);
                drop_tables(pins, &staged);
                return Err(error);
            }
        };
        self.keep_tables(pins, &staged)?;
        for one in &attached {
            let is_wanted = mode == XdpMode::Auto || one.mode == mode.word();
            if one.is_adopted && !is_wanted {
                warn!(
                    "{} stays in {} mode, in which an earlier daemon attached it: to change that, detach it with \
                     `geofence detach --interface {}`, which leaves it unfiltered, and start again",
                    one.interface, one.mode, one.interface
                );
            }
        }
        let gone = pins.detach(&survey.others).await?;
        for index in gone.iter().filter(|index| survey.filtering.contains(index)) {
            info!("the interface with index {index} is no longer named: detached");
        }
        pins.remove_strangers()?;
        Ok(attached)
    }

    /// Attaches where nothing is and replaces what is there, until the kernel says that everything is in place.
    async fn change(
        &mut self,
        survey: &Survey,
        mode: XdpMode,
        slots: &[(u32, bool)],
        fresh: &mut BTreeSet<u32>,
        undo: &mut Undo,
    ) -> Result<Vec<Attached>, AttachError> {
        let pins = &survey.pins;
        for place in survey.places.iter().filter(|place| !place.is_held) {
            self.attach(pins, &place.interface, mode)?;
            fresh.insert(place.interface.index);
        }
        for place in survey.places.iter().filter(|place| place.is_held) {
            self.replace(pins, &place.interface, undo)?;
        }
        self.look(survey, slots).await
    }

    /// A slot of counters for each interface, and whether it is new there.
    fn slots(&mut self, survey: &Survey) -> Result<Vec<(u32, bool)>, AttachError> {
        let mut known = Vec::with_capacity(survey.places.len());
        let mut taken = BTreeSet::new();
        for place in &survey.places {
            let slot = if place.is_held {
                self.slot(place.interface.index)?
            } else {
                None
            };
            // Of two that claim the same slot, one starts anew.
            known.push(slot.filter(|slot| taken.insert(*slot)));
        }
        for index in &survey.filtering {
            taken.extend(self.slot(*index)?);
        }
        let mut slots = Vec::with_capacity(known.len());
        for slot in known {
            slots.push(match slot {
                Some(slot) => (slot, false),
                None => {
                    // There is one slot for each interface, so one is free.
                    let free = (1..).find(|slot| !taken.contains(slot)).unwrap_or(0);
                    taken.insert(free);
                    (free, true)
                }
            });
        }
        Ok(slots)
    }

    /// Puts the new programs behind an earlier daemon's links.
    fn replace(
        &mut self,
        pins: &Pins,
        interface: &Interface,
        undo: &mut Undo,
    ) -> Result<(), AttachError> {
        let index = interface.index;
        let failed = |cause: ProgramError| AttachError::Update {
            name: interface.name.clone(),
            cause: Box::new(cause),
        };
        // What the old ingress remembers the new one finds in the same tables, so the order loses nothing.
        let egress = pins.open(Hook::Egress, index)?.filter(|_| has_tcx());
        undo.note(pins, Hook::Egress, index)?;
        let replaced = match egress {
            None => self.attach_egress(pins, interface),
            Some(link) => match self.update_egress(link) {
                // The program's link was cut from under the pin.
                Err(error) if errno(&error) == Some(libc::ENOLINK) => {
                    self.attach_egress(pins, interface)
                }
                updated => updated.map_err(failed),
            },
        };
        if let Err(error) = replaced {
            undo.forget_last();
            return Err(error);
        }
        match pins.open(Hook::Ingress, index)? {
            // The last change of this interface: one that fails changes nothing.
            Some(link) => {
                undo.note(pins, Hook::Ingress, index)?;
                let updated = self.update_ingress(link).map_err(failed);
                if updated.is_err() {
                    undo.forget_last();
                }
                updated
            }
            None => Err(AttachError::NotInPlace {
                name: interface.name.clone(),
            }),
        }
    }

    fn update_ingress(&mut self, link: FdLink) -> Result<(), ProgramError> {
        let program = self.ingress().map_err(other)?;
        let link = XdpLink::try_from(link).map_err(of_link)?;
        let id = program.attach_to_link(link)?;
        // The pin holds it from here on.
        program.take_link(id).map(drop)
    }

    fn update_egress(&mut self, link: FdLink) -> Result<(), ProgramError> {
        let program = self.egress().map_err(other)?;
        let link = SchedClassifierLink::try_from(link).map_err(of_link)?;
        let id = program.attach_to_link(link)?;
        program.take_link(id).map(drop)
    }

    /// What the kernel says of the interfaces now.
    async fn look(
        &mut self,
        survey: &Survey,
        slots: &[(u32, bool)],
    ) -> Result<Vec<Attached>, AttachError> {
        let program = self.program_id()?;
        let present = interfaces().await?;
        let mut attached = Vec::with_capacity(slots.len());
        for (place, (slot, _)) in survey.places.iter().zip(slots) {
            let Interface { index, name, .. } = &place.interface;
            let found = present.iter().find(|one| one.index == *index);
            match found.filter(|one| one.program == Some(program)) {
                Some(found) => attached.push(Attached {
                    interface: name.clone(),
                    index: *index,
                    slot: *slot,
                    mode: found.mode.unwrap_or("none"),
                    program,
                    is_adopted: place.is_held,
                }),
                None => return Err(AttachError::NotInPlace { name: name.clone() }),
            }
        }
        Ok(attached)
    }

    /// Attaches to an interface that has come back, with the counters it had.
    pub fn attach_again(
        &mut self,
        pins: &Pins,
        interface: &Interface,
        slot: u32,
        mode: XdpMode,
    ) -> Result<(), AttachError> {
        if let Some(id) = interface.program {
            return Err(AttachError::Foreign {
                name: interface.name.clone(),
                program: Program::with_id(id),
            });
        }
        self.assign_slot(interface.index, slot)?;
        self.attach(pins, interface, mode)
    }
}

/// An error of a link as one of a program, which keeps the name of the call.
pub(super) fn of_link(error: LinkError) -> ProgramError {
    match error {
        LinkError::SyscallError(error) => error.into(),
        LinkError::InvalidLink | LinkError::UnknownLinkType(_) => other(error),
    }
}

pub(super) fn other(error: impl std::error::Error + Send + Sync + 'static) -> ProgramError {
    ProgramError::IOError(std::io::Error::other(error))
}
