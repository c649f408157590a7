//! Plain types that describe a running filter: what its image was made from, what its counters say, and how reloads
//! went. The daemon fills them in; metrics, the page and the control socket show them.

use std::collections::BTreeMap;
use std::time::Duration;

use geofence_common::action::{Action, Mode, Reason};
use geofence_common::country::Country;
use geofence_common::flow::Table;
use geofence_common::maps::{Counter, ListCounters};
use geofence_common::observe::ObservationCounters;
use serde_json::{Value, json};

use crate::compile::{Disagreement, Extents, Image};
use crate::data::geoip_update::FileState;
use crate::data::lists::ListReport;
use crate::kernel::{ServiceCounts, TableFacts, TenantCounters};
use crate::model::failure::{Cause, Failure};
use crate::model::list::Direction;
use crate::model::policy::Settings;
use crate::model::shortfall::Shortfall;
use crate::model::units::UnixSeconds;

/// Everything that a scrape shows, read at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub interfaces: Vec<InterfaceCounters>,
    /// By `Table`.
    pub flows: [TableFacts; Table::ALL.len()],
    pub tenants: TenantCounts,
    pub lists: ListCounts,
    pub services: ServiceCounts,
    /// How `geofence update` fared with each database that has a source, by its file.
    pub database_updates: Vec<(String, FileState)>,
    pub observed: Observed,
    pub facts: Facts,
    /// The settings for every destination that is no tenant's.
    pub settings: Settings,
    /// A digest of the policy in words; none while it is worked out.
    pub policy_hash: Option<String>,
    /// The size of the image, and of the slot that holds it.
    pub image_bytes: ImageBytes,
    /// Whether the policy is on trial.
    pub is_on_trial: bool,
    pub reloads: Reloads,
    /// Everything that was asked for and is not in place, except for interfaces.
    pub shortfalls: Vec<Shortfall>,
    /// How long it took to read all this.
    pub took: Duration,
}

/// What is observed beside the counters.
#[derive(Clone, Debug)]
pub struct Observed {
    pub counters: ObservationCounters,
    /// Whether anything is observed now.
    pub is_on: bool,
    /// Events that each sink has lost.
    pub lost: Vec<(&'static str, u64)>,
}

/// How large the image is, and may become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImageBytes {
    pub size: u64,
    pub capacity: u64,
}

/// An interface and its counters.
#[derive(Clone, Debug)]
pub struct InterfaceCounters {
    pub name: String,
    /// The module of its driver, or the kind of a virtual interface; empty if the kernel names none.
    pub driver: String,
    /// The mode the kernel reported when the program was attached.
    pub mode: &'static str,
    /// Whether the program is attached now.
    pub is_protected: bool,
    /// For how long packets could pass unfiltered.
    pub unprotected: Duration,
    pub counters: BTreeMap<(Country, Action, Reason), Counter>,
}

/// The counters of tenants and exceptions.
#[derive(Clone, Debug, Default)]
pub struct TenantCounts {
    /// Each tenant's counters, by name.
    pub tenants: Vec<(String, TenantCounters)>,
    /// The packets that exceptions and protections passed and bans dropped, by kind and name.
    pub hits: Vec<(&'static str, String, u64)>,
    /// How many exceptions are live, and how many of them expire within a week.
    pub exceptions: usize,
    pub expiring: usize,
    /// How many bans are live.
    pub bans: usize,
}

/// The counters of each list, by name.
pub type ListCounts = BTreeMap<String, ListCount>;

/// The counters of one list.
#[derive(Clone, Debug)]
pub struct ListCount {
    pub direction: Direction,
    /// By the tenant's name, which is empty for addresses of no tenant.
    pub tenants: BTreeMap<String, ListCounters>,
}

/// What changes only with a new image.
#[derive(Clone, Debug)]
pub struct Facts {
    pub mode: Mode,
    pub generation: u32,
    /// Whether it is the last good image, whose policy is another than that of the configuration.
    pub is_last_good: bool,
    /// The build time of each database, by name.
    pub databases: Vec<(String, UnixSeconds)>,
    /// The types of the databases of countries; empty if they are not known.
    pub database_types: Vec<String>,
    /// How far the second database of a cross-check differs from the first.
    pub disagreement: Option<Disagreement>,
    /// What the ASN database contains, where there is one.
    pub asn_data: Option<Extents>,
    /// How many overrides of the country data are in force.
    pub geo_overrides: usize,
    pub lists: Vec<ListReport>,
    /// The attribution that the licence of the data requires.
    pub attribution: Option<&'static str>,
    /// What the policy goes without.
    pub shortfalls: Vec<Shortfall>,
    pub prefixes_v4: usize,
    pub prefixes_v6: usize,
}

impl Facts {
    /// What the image itself says. It does not name the files it was made from.
    #[must_use]
    pub fn of(image: &Image) -> Self {
        let [v4, v6] = image.prefixes();
        Self {
            mode: image.flags().mode(),
            generation: image.generation(),
            is_last_good: false,
            databases: Vec::new(),
            database_types: Vec::new(),
            disagreement: None,
            asn_data: None,
            geo_overrides: 0,
            lists: Vec::new(),
            attribution: None,
            shortfalls: Vec::new(),
            prefixes_v4: v4 as usize,
            prefixes_v6: v6 as usize,
        }
    }
}

/// Why the active policy is not the last one requested.
#[derive(Clone, Debug)]
pub struct LastFailure {
    pub failure: Failure,
    pub since: UnixSeconds,
}

impl LastFailure {
    #[must_use]
    pub fn now(failure: Failure) -> Self {
        Self {
            failure,
            since: UnixSeconds::now(),
        }
    }

    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "cause": self.failure.cause.name(),
            "text": self.failure.text,
            "since": self.since,
        })
    }
}

/// How the reloads went.
#[derive(Clone, Debug)]
pub struct Reloads {
    pub succeeded: u64,
    /// By cause; every cause has an entry.
    pub failed: BTreeMap<Cause, u64>,
    pub last_failure: Option<LastFailure>,
    /// When the requested policy last became active, at the start or by a reload; none if it has not.
    pub last_success: Option<UnixSeconds>,
    /// How long the last reload took, whatever its result.
    pub last_duration: Option<Duration>,
}

impl Reloads {
    #[must_use]
    pub fn new(last_failure: Option<LastFailure>) -> Self {
        Self {
            succeeded: 0,
            failed: Cause::ALL.map(|cause| (cause, 0)).into(),
            last_success: last_failure.is_none().then(UnixSeconds::now),
            last_failure,
            last_duration: None,
        }
    }

    pub(super) fn count(&mut self, result: &Result<u32, Failure>, took: Duration) {
        self.last_duration = Some(took);
        match result {
            Ok(_) => {
                self.succeeded += 1;
                self.last_failure = None;
                self.last_success = Some(UnixSeconds::now());
            }
            Err(failure) => {
                *self.failed.entry(failure.cause).or_default() += 1;
                self.last_failure = Some(LastFailure::now(failure.clone()));
            }
        }
    }

    /// Forgets the last failure if it is of this kind, because what it was about is over.
    pub(super) fn clear(&mut self, is_mended: impl Fn(Cause) -> bool) {
        let is_mended = |last: &mut LastFailure| is_mended(last.failure.cause);
        self.last_failure.take_if(is_mended);
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "succeeded": self.succeeded,
            "failed": self.failed.values().sum::<u64>(),
            "trouble": self.last_failure.as_ref().map(LastFailure::to_json),
            "last_success": self.last_success,
            "last_seconds": self.last_duration.map(|took| took.as_secs_f64()),
        })
    }
}
