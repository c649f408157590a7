//! What a new policy changes, against the one in use.
//!
//! Verdicts are compared by the images themselves, so the policy in use may be a running filter whose files are gone.
//! What no image holds (interfaces, addresses to listen on) is compared where both configurations are known.
//!
//! Pure but for `traffic`, which asks a running filter for its counters.

mod lists;
mod services;
mod settings;
pub mod traffic;
mod verdicts;

use geofence_common::country::Country;
use geofence_common::image::class::Class;
use geofence_common::image::{CLASS_WORDS, Flags, Words as _, header};
use serde::Serialize;

use crate::checks::sanity::{Comparison, Report, refusals};
use crate::compile::BrokenImage;
use crate::config::Config;
use crate::model::policy::Policy;

pub use lists::ListChange;
pub use services::ServiceChange;
pub use settings::Setting;
pub use verdicts::{Standing, VerdictChange};

/// One of the two policies: its image, and where that came from, if it is known.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    pub words: &'a [u32],
    pub config: Option<&'a Config>,
}

/// Everything that differs. The names of the fields are those of the JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Diff {
    /// Countries that only the new policy blocks, and that only the old one does.
    pub blocked: Vec<&'static str>,
    pub unblocked: Vec<&'static str>,
    pub services: ServiceChange,
    pub lists: Vec<ListChange>,
    pub settings: Vec<Setting>,
    /// The addresses that are treated differently, by the country they are counted under today.
    pub verdicts: Vec<VerdictChange>,
    pub data: Report,
}

impl Diff {
    /// Compares two policies. `policy` is the new one, `now` in seconds since 1970.
    pub fn new(
        old: Side<'_>,
        new: Side<'_>,
        policy: &Policy,
        now: u64,
    ) -> Result<Self, BrokenImage> {
        let comparison = Comparison::of_images(old.words, new.words)?;
        let changed = |is_blocked: bool| {
            Country::all()
                .filter(|country| {
                    let [before, after] = [old, new].map(|side| side.blocks(*country));
                    before == Some(!is_blocked) && after == Some(is_blocked)
                })
                .map(Country::name)
                .collect()
        };
        Ok(Self {
            blocked: changed(true),
            unblocked: changed(false),
            services: ServiceChange::new(old.words, new.words),
            lists: lists::changes(old.words, new.words)?,
            settings: settings::changes(old, new),
            verdicts: verdicts::changes(old, new)?,
            data: Report::new(&comparison, refusals(policy, &comparison, now)),
        })
    }

    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocked.is_empty()
            && self.unblocked.is_empty()
            && self.services.is_empty()
            && self.lists.is_empty()
            && self.settings.is_empty()
            && self.verdicts.is_empty()
            && self.data.is_empty()
    }
}

impl Side<'_> {
    fn flags(&self) -> Flags {
        self.words.flags().unwrap_or(Flags(0))
    }

    fn data_built(&self) -> u64 {
        let word = |at: usize| u64::from(self.words.word(at as u32).unwrap_or(0));
        word(header::DATA_BUILT) | word(header::DATA_BUILT + 1) << 32
    }

    /// Whether a country is blocked, or unknown for one that the image has no address of.
    fn blocks(&self, country: Country) -> Option<bool> {
        if let Some(config) = self.config {
            return Some(config.policy.blocks(Class::of_country(country)));
        }
        self.classes()
            .find(|class| class.country() == country)
            .map(Class::is_blocked)
    }

    fn classes(&self) -> impl Iterator<Item = Class> {
        let [start, count] = [header::CLASS_TABLE, header::CLASSES]
            .map(|at| self.words.word(at as u32).unwrap_or(0));
        let records = (start..).step_by(CLASS_WORDS).take(count as usize);
        records.map_while(|at| self.words.class_at(at))
    }
}
