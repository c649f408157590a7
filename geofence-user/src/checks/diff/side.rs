//! One of the two policies of a comparison, read from its image.

use geofence_common::country::Country;
use geofence_common::image::class::Class;
use geofence_common::image::{CLASS_WORDS, Flags, Words as _, header};

use crate::config::Config;

/// A policy: its image, and its configuration if that is known.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    pub words: &'a [u32],
    pub config: Option<&'a Config>,
}

impl Side<'_> {
    pub(super) fn flags(&self) -> Flags {
        self.words.flags().unwrap_or(Flags(0))
    }

    /// Whether a country is blocked, or unknown for one that the image has no address of.
    pub(super) fn blocks(&self, country: Country) -> Option<bool> {
        if let Some(config) = self.config {
            return Some(config.policy.blocks(Class::of_country(country)));
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
}
