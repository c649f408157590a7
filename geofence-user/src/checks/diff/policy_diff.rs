//! Everything that a new policy changes.

use geofence_common::country::Country;
use serde::Serialize;

use super::lists::{self, ListChange};
use super::services::ServiceChange;
use super::settings::{self, Setting};
use super::side::Side;
use super::verdicts::{self, VerdictChange};
use crate::checks::sanity::{Comparison, Report, refusals};
use crate::compile::BrokenImage;
use crate::model::policy::Policy;
use crate::model::units::UnixSeconds;

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
    /// Compares two policies. `policy` is the new one, `now` the present time.
    pub fn new(
        old: Side<'_>,
        new: Side<'_>,
        policy: &Policy,
        now: UnixSeconds,
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
