//! Looks at the interfaces before anything changes: those that are named, and those that an earlier daemon filters.

use std::collections::BTreeSet;

use geofence_common::maps::INTERFACES_MAX;

use super::attach_error::AttachError;
use super::interface::{find_interface, interfaces};
use super::pins::Pins;
use crate::model::interface::Interface;

/// The interfaces before a start.
#[derive(Clone, Debug)]
pub struct Survey {
    pub(super) pins: Pins,
    pub(super) named: Vec<NamedInterface>,
    /// Interfaces with links that are not named, by index, and those of them that an earlier program still filters.
    pub(super) unnamed: BTreeSet<u32>,
    pub(super) unnamed_filtering: Vec<u32>,
}

/// An interface that the configuration names.
#[derive(Clone, Debug)]
pub(super) struct NamedInterface {
    pub(super) interface: Interface,
    /// Whether the program of an earlier daemon runs there.
    pub(super) is_adopted: bool,
}

impl Survey {
    /// Finds the named interfaces. An interface that runs a program of another tool is an error.
    pub async fn take(pins: &Pins, names: &[String]) -> Result<Self, AttachError> {
        let present = interfaces().await?;
        let mut named = Vec::with_capacity(names.len());
        for name in names {
            let interface = find_interface(&present, name)?.clone();
            let is_adopted = pins.is_on(&interface)?;
            if !is_adopted {
                AttachError::if_taken(&interface)?;
            }
            named.push(NamedInterface {
                interface,
                is_adopted,
            });
        }
        let named_indexes = || named.iter().map(|one| one.interface.index);
        let mut unnamed = pins.indexes()?;
        unnamed.retain(|index| named_indexes().all(|named| named != *index));
        let mut unnamed_filtering = Vec::new();
        for one in present.iter().filter(|one| unnamed.contains(&one.index)) {
            if pins.is_on(one)? {
                unnamed_filtering.push(one.index);
            }
        }
        let counted: Vec<u32> = named_indexes()
            .chain(unnamed_filtering.iter().copied())
            .collect();
        for (at, first) in counted.iter().enumerate() {
            let clash = |other: &&u32| {
                **other != *first && **other % INTERFACES_MAX == *first % INTERFACES_MAX
            };
            if let Some(second) = counted[at..].iter().find(clash) {
                return Err(AttachError::IndexClash {
                    first: *first,
                    second: *second,
                });
            }
        }
        Ok(Self {
            pins: pins.clone(),
            named,
            unnamed,
            unnamed_filtering,
        })
    }

    /// How many interfaces are counted until the start is complete.
    #[must_use]
    pub fn interfaces(&self) -> u32 {
        u32::try_from(self.named.len() + self.unnamed_filtering.len()).unwrap_or(u32::MAX)
    }

    /// Whether an earlier daemon's program filters any of the named interfaces.
    #[must_use]
    pub fn is_adoption(&self) -> bool {
        self.named.iter().any(|one| one.is_adopted)
    }
}
