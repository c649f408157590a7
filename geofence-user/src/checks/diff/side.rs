//! One of the two policies of a comparison, read from its image.

use geofence_common::country::Country;
use geofence_common::image::class::Class;
use geofence_common::image::{CLASS_WORDS, Flags, Words as _, header};

use super::described::Described;
use crate::compile::{Family, Ranges};

/// The classes of all addresses, by family: those of the old policy and those of the new one.
pub(super) type Compared = Vec<(Family, [Ranges; 2])>;

/// A policy: its image, and its configuration key by key if that is known.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    pub words: &'a [u32],
    pub described: Option<&'a Described>,
    /// The types of its databases; empty if they are not known.
    pub database_types: &'a [String],
}

impl Side<'_> {
    pub(super) fn flags(&self) -> Flags {
        self.words.flags().unwrap_or(Flags(0))
    }

    /// Whether a country is blocked, or unknown for one that the image has no address of.
    pub(super) fn blocks(&self, country: Country) -> Option<bool> {
        if let Some(described) = self.described {
            return described.blocks(country);
        }
        self.classes()
            .find(|class| class.country() == country)
            .map(Class::is_blocked)
    }

    pub(super) fn classes(&self) -> impl Iterator<Item = Class> {
        let [start, count] = [header::CLASS_TABLE, header::CLASSES]
            .map(|at| self.words.word(at as u32).unwrap_or(0));
        let records = (start..).step_by(CLASS_WORDS).take(count as usize);
        records.map_while(|at| self.words.class_at(at))
    }

    /// The name of a tenant; its number if the name is not known.
    pub(super) fn tenant(&self, number: u32) -> String {
        let name = self.described.and_then(|all| all.tenant(number));
        name.map_or_else(|| format!("number {number}"), ToOwned::to_owned)
    }
}
