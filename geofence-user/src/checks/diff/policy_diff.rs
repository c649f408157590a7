//! Everything that a new policy changes.

use serde::Serialize;

use super::destination::Destinations;
use super::lists::{self, ListChange};
use super::services::ServiceChange;
use super::settings::{self, EntryChange, Setting};
use super::side::{Compared, Side};
use super::tenants::{self, TenantChange, countries};
use super::verdicts::{self, VerdictChange};
use crate::checks::sanity::{Comparison, Report, Vendor, refusals};
use crate::compile::{BrokenImage, Family, ranges};
use crate::model::policy::Policy;
use crate::model::units::UnixSeconds;

/// What is missing where the configuration behind an image is not known.
const NOT_IN_IMAGE: &str = "what only a configuration says, because the daemon of this filter does not answer or \
     filters by its last good image: interfaces, addresses to listen on, databases, sizes, exceptions, and the names \
     of tenants and lists";

/// Everything that differs. The names of the fields are those of the JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Diff {
    /// Countries that only the new policy blocks, and that only the old one does.
    pub blocked: Vec<&'static str>,
    pub unblocked: Vec<&'static str>,
    pub services: ServiceChange,
    pub lists: Vec<ListChange>,
    pub settings: Vec<Setting>,
    /// The tenants, exceptions, protections and lists that differ.
    pub entries: Vec<EntryChange>,
    /// The addresses that are treated differently, by the country they are counted under today. At a destination of no
    /// tenant, and at tenants that have no settings of their own.
    pub verdicts: Vec<VerdictChange>,
    /// The same for tenants for which something else changes, or nothing.
    pub tenants: Vec<TenantChange>,
    pub data: Report,
    /// What cannot be compared.
    pub not_compared: Vec<&'static str>,
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
        let vendor = Vendor::of(old.database_types, new.database_types);
        let families = Family::ALL
            .into_iter()
            .map(|family| {
                Ok((
                    family,
                    [ranges(old.words, family)?, ranges(new.words, family)?],
                ))
            })
            .collect::<Result<Compared, BrokenImage>>()?;
        let destinations = [Destinations::of(old.words)?, Destinations::of(new.words)?];
        let [before, after] = &destinations;
        let everyone = (before.get(0), after.get(0));
        let changed =
            |is_blocked: bool| countries((old, everyone.0), (new, everyone.1), is_blocked);
        let described = old.described.zip(new.described);
        Ok(Self {
            blocked: changed(true),
            unblocked: changed(false),
            services: ServiceChange::new(everyone.0, everyone.1),
            lists: lists::changes(&families),
            settings: settings::changes(old, new),
            entries: described.map_or_else(Vec::new, |(old, new)| settings::entries(old, new)),
            verdicts: verdicts::changes(&families, everyone.0, everyone.1),
            tenants: tenants::changes((old, new), (before, after), &families),
            data: Report::new(&comparison, refusals(policy, &comparison, vendor, now)),
            not_compared: if described.is_some() {
                Vec::new()
            } else {
                vec![NOT_IN_IMAGE]
            },
        })
    }

    /// Whether nothing that is compared differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocked.is_empty()
            && self.unblocked.is_empty()
            && self.services.is_empty()
            && self.lists.is_empty()
            && self.settings.is_empty()
            && self.entries.is_empty()
            && self.verdicts.is_empty()
            && self.tenants.iter().all(TenantChange::is_empty)
            && self.data.is_empty()
    }

    /// Whether packets may be treated differently.
    #[must_use]
    pub fn moves_traffic(&self) -> bool {
        let moves = |verdicts: &[VerdictChange], services: &ServiceChange| {
            !verdicts.is_empty()
                || !services.closed.is_empty()
                || !services.protected.is_empty()
                || !services.released.is_empty()
        };
        let mut tenants = self.tenants.iter();
        moves(&self.verdicts, &self.services)
            || tenants.any(|tenant| moves(&tenant.verdicts, &tenant.services))
    }
}
