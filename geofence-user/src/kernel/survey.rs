//! Looks at the interfaces before anything changes: those that are named, and those that an earlier daemon filters.
//!
//! An interface that cannot be filtered now is no reason to leave the others open, so each has a plan of its own.

use std::collections::BTreeSet;

use geofence_common::frame::Link;
use tracing::warn;

use super::attach_error::AttachError;
use super::interface::{find_interface, interfaces};
use super::pins::Pins;
use crate::checks::topology::refusal;
use crate::model::interface::Interface;

/// The interfaces before a start.
#[derive(Debug)]
pub struct Survey {
    pub(super) pins: Pins,
    pub(super) named: Vec<NamedInterface>,
    /// Interfaces with links that are to be detached, by index, and those of them that an earlier program filters.
    pub(super) unnamed: BTreeSet<u32>,
    pub(super) unnamed_filtering: Vec<u32>,
    /// Whether an interface that cannot be filtered ends the start.
    pub(super) is_strict: bool,
}

/// An interface that the configuration names.
#[derive(Debug)]
pub(super) struct NamedInterface {
    pub(super) name: String,
    pub(super) plan: Plan,
}

/// What the start does with an interface.
#[derive(Debug)]
pub(super) enum Plan {
    /// No program runs there yet.
    Attach(Interface),
    /// The program of an earlier daemon runs there.
    Adopt(Interface),
    /// It cannot be filtered now.
    Leave(AttachError),
}

impl Plan {
    /// `is_adopted` says whether the program of an earlier daemon runs there.
    fn of(interface: &Interface, present: &[Interface], is_adopted: bool) -> Self {
        if let Err(unjudged) = interface.link() {
            return Self::Leave(unjudged.into());
        }
        let misplaced = refusal(present, interface).map(AttachError::Misplaced);
        if is_adopted {
            if let Some(error) = misplaced {
                warn!("{error}");
            }
            return Self::Adopt(interface.clone());
        }
        match misplaced.map_or_else(|| AttachError::if_taken(interface), Err) {
            Ok(()) => Self::Attach(interface.clone()),
            Err(error) => Self::Leave(error),
        }
    }
}

impl NamedInterface {
    /// The interface, if it is or will be filtered.
    pub(super) fn interface(&self) -> Option<&Interface> {
        match &self.plan {
            Plan::Attach(interface) | Plan::Adopt(interface) => Some(interface),
            Plan::Leave(_) => None,
        }
    }

    pub(super) fn adopted(&self) -> Option<&Interface> {
        match &self.plan {
            Plan::Adopt(interface) => Some(interface),
            Plan::Attach(_) | Plan::Leave(_) => None,
        }
    }
}

impl Survey {
    /// Finds the named interfaces.
    ///
    /// # Errors
    /// When none of them can be filtered, and waiting does not change that. If `is_strict`, when one cannot.
    pub async fn take(pins: &Pins, names: &[String], is_strict: bool) -> Result<Self, AttachError> {
        let present = interfaces().await?;
        let mut survey = Self {
            pins: pins.clone(),
            named: Vec::with_capacity(names.len()),
            unnamed: pins.indexes()?,
            unnamed_filtering: Vec::new(),
            is_strict,
        };
        for name in names {
            let plan = match find_interface(&present, name) {
                Ok(found) => Plan::of(found, &present, pins.is_on(found)?),
                Err(missing) => Plan::Leave(missing.into()),
            };
            survey.named.push(NamedInterface {
                name: name.clone(),
                plan,
            });
        }
        survey.find_unnamed(&present)?;
        survey.refuse_clashes();
        survey.refuse_hopeless()?;
        Ok(survey)
    }

    /// Finds the interfaces that an earlier daemon filters and the configuration does not name.
    fn find_unnamed(&mut self, present: &[Interface]) -> Result<(), AttachError> {
        let named = self.named.iter().filter_map(NamedInterface::interface);
        for interface in named {
            self.unnamed.remove(&interface.index);
        }
        let unnamed = present
            .iter()
            .filter(|one| self.unnamed.contains(&one.index));
        let mut filtering = Vec::new();
        for one in unnamed {
            if self.pins.is_on(one)? {
                filtering.push(one);
            }
        }
        let missing = self.named.iter().find(|one| one.is_awaited());
        let Some(missing) = missing.map(|one| one.name.clone()) else {
            self.unnamed_filtering = filtering.iter().map(|one| one.index).collect();
            return Ok(());
        };
        // A missing interface may have another name, or be in another network namespace: no link is removed.
        self.unnamed.clear();
        for one in filtering {
            warn!(
                "{} is not in `interfaces`, but {missing} is and does not exist; perhaps it was renamed. {} stays \
                 protected: name it, or detach it with `geofence detach --interface {}`",
                one.name, one.name, one.name
            );
            self.named.push(NamedInterface {
                name: one.name.clone(),
                plan: Plan::Adopt(one.clone()),
            });
        }
        Ok(())
    }

    /// Leaves out interfaces that would share a counter with another.
    fn refuse_clashes(&mut self) {
        let adopted = self.named.iter().filter_map(NamedInterface::adopted);
        let mut counted: Vec<u32> = adopted.map(|one| one.index).collect();
        counted.extend(&self.unnamed_filtering);
        for named in &mut self.named {
            let Plan::Attach(interface) = &named.plan else {
                continue;
            };
            match AttachError::if_clashing(interface.index, counted.iter().copied()) {
                Ok(()) => counted.push(interface.index),
                Err(error) => named.plan = Plan::Leave(error),
            }
        }
    }

    /// An error if nothing will be filtered and nothing is awaited; if strict, if anything is left out.
    pub(super) fn refuse_hopeless(&mut self) -> Result<(), AttachError> {
        let is_left = |one: &NamedInterface| matches!(one.plan, Plan::Leave(_));
        let is_hopeless = self
            .named
            .iter()
            .all(|one| is_left(one) && !one.is_awaited());
        if !is_hopeless && !self.is_strict {
            return Ok(());
        }
        let Some(at) = self.named.iter().position(is_left) else {
            return Ok(());
        };
        match self.named.swap_remove(at).plan {
            Plan::Leave(error) => Err(error),
            Plan::Attach(_) | Plan::Adopt(_) => Ok(()),
        }
    }

    /// Whether the programs for devices whose frames start with the IP header are needed now, or may be later.
    #[must_use]
    pub fn needs_ip(&self) -> bool {
        self.named.iter().any(|one| {
            let is_ip = |interface: &Interface| interface.link() == Ok(Link::Ip);
            one.is_awaited() || one.interface().is_some_and(is_ip)
        })
    }

    /// The index of each named interface; 0 for one that is left out.
    pub(super) fn indexes(&self) -> Vec<u32> {
        let interfaces = self.named.iter().map(NamedInterface::interface);
        interfaces
            .map(|one| one.map_or(0, |one| one.index))
            .collect()
    }

    /// How many interfaces are counted until the start is complete, those included that may come later.
    #[must_use]
    pub fn interfaces(&self) -> u32 {
        u32::try_from(self.named.len() + self.unnamed_filtering.len()).unwrap_or(u32::MAX)
    }
}

impl NamedInterface {
    /// Whether it does not exist yet.
    fn is_awaited(&self) -> bool {
        matches!(&self.plan, Plan::Leave(error) if error.is_missing())
    }
}
