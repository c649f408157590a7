//! A running filter: the loaded program, the interfaces it is on, and what is known about its image.
//!
//! Control and observation only. Packets are judged by the kernel whether this process looks or not; what it keeps
//! here, the next one finds in the kernel.

pub mod candidate;
mod contacts;
pub mod events;
mod exception_view;
mod exceptions;
pub mod file_watch;
mod interfaces;
mod reload;
pub mod runtime_exceptions;
mod trial;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use geofence_common::flow::Table;
use serde_json::{Value, json};

use crate::checks::lockout::watcher::Watcher;
use crate::compile::Image;
use crate::config::Config;
use crate::daemon::candidate::Candidate;
use crate::daemon::events::{Identities, Names, Recent};
use crate::daemon::file_watch::Files;
use crate::daemon::runtime_exceptions::Grants;
use crate::data::lists::Report;
use crate::kernel::flows::TableFacts;
use crate::kernel::{Attached, Filter, LoadError, Pins};
use crate::model::policy::Policy;
use crate::model::units::UnixSeconds;
use crate::model::word::Word as _;
use crate::os::privilege::{self, GivenUp};
use crate::os::state::State;
use crate::prepare::{Kept, now};
use crate::serve::metrics::{Customers, Facts, Interface, Snapshot};

pub use exception_view::Shown;
pub use exceptions::Change;
pub use interfaces::{Place, Standing};
pub use reload::{Reloads, Source, Trouble, Wishes};
pub use trial::Confirmed;

/// A filter and where it is attached.
pub struct Daemon {
    pins: Pins,
    privilege: Privilege,
    state: State,
    grants: Grants,
    source: Source,
    tried: Mutex<Files>,
    filter: Mutex<Filter>,
    current: Mutex<Current>,
    places: Mutex<Vec<Place>>,
    reloads: Mutex<Reloads>,
    trial: Mutex<Option<trial::Trial>>,
    names: Mutex<Names>,
    recent: Mutex<Recent>,
    /// How many contacts there have been, for who waits for the next.
    contacts: tokio::sync::watch::Sender<u64>,
    /// Whoever changes what filters holds it.
    turn: tokio::sync::Mutex<()>,
}

/// What the daemon may still do, and who does for it what it may not.
#[derive(Debug)]
pub struct Privilege {
    pub given_up: GivenUp,
    /// Nobody where it could not be started.
    pub watcher: Option<Watcher>,
}

impl Privilege {
    fn to_json(&self) -> Value {
        let mut json = match privilege::Standing::look() {
            Ok(standing) => standing.to_json(&self.given_up),
            Err(error) => json!({ "error": error.to_string() }),
        };
        json["session_watcher"] = json!(self.watcher.as_ref().map(Watcher::process));
        json
    }
}

/// What filters now.
#[derive(Clone)]
struct Current {
    config: Arc<Config>,
    image: Arc<Image>,
    facts: Facts,
    /// When the next entry of a list lapses, seconds since 1970.
    lapses: Option<u64>,
    /// The database it was compiled from, where there are exceptions to change.
    kept: Option<Kept>,
}

impl Current {
    /// What filters when this candidate does. What is on its lists is in the image, and need not be kept twice.
    fn of(candidate: Candidate) -> Self {
        let mut config = candidate.config;
        let lists = config.policy.lists.drain(..);
        let lapses = lists.filter_map(|list| list.entries().next_expiry()).min();
        config.policy.systems.clear();
        Self {
            lapses,
            config: Arc::new(config),
            image: Arc::new(candidate.image),
            facts: candidate.facts,
            kept: candidate.kept,
        }
    }
}

impl Daemon {
    /// A daemon for a filter that is in place. Trouble is why it is not the one that was asked for.
    #[must_use]
    pub fn new(
        filter: Filter,
        attached: Vec<Attached>,
        mut candidate: Candidate,
        (source, tried): (Source, Files),
        trouble: Option<Trouble>,
        privilege: Privilege,
    ) -> Self {
        let instance = &candidate.config.instance;
        reload::keep_lists(std::mem::take(&mut candidate.lists), instance);
        let identities = Identities::of(&candidate.config);
        let mut names = Names::default();
        names.learn(&candidate.config);
        let daemon = Self {
            pins: Pins::of(instance),
            privilege,
            state: State::of(instance),
            grants: Grants::of(instance),
            source,
            tried: Mutex::new(tried),
            filter: Mutex::new(filter),
            places: Mutex::new(attached.into_iter().map(Place::new).collect()),
            reloads: Mutex::new(Reloads::new(trouble)),
            trial: Mutex::new(None),
            names: Mutex::new(names),
            recent: Mutex::new(Recent::default()),
            contacts: tokio::sync::watch::Sender::new(0),
            turn: tokio::sync::Mutex::new(()),
            current: Mutex::new(Current::of(candidate)),
        };
        daemon.forget_lists_but(&identities);
        daemon
    }

    /// Where the filter is, as far as the kernel says at this moment.
    pub async fn protection(&self) -> Vec<Place> {
        self.look_after_interfaces().await;
        lock(&self.places).clone()
    }

    /// What became of the reloads, and what stands in the way of the policy that was asked for.
    pub fn reloads(&self) -> Reloads {
        lock(&self.reloads).clone()
    }

    /// Reads every counter.
    pub async fn snapshot(&self) -> Result<Snapshot, LoadError> {
        let places = self.protection().await;
        let contacts = self.list_counters()?;
        let filter = lock(&self.filter);
        let mut interfaces = Vec::with_capacity(places.len());
        for place in places {
            interfaces.push(Interface {
                counters: filter.counters(place.attached.slot)?,
                is_protected: place.is_protected(),
                unprotected: place.unprotected(),
                mode: place.attached.mode,
                name: place.attached.interface,
            });
        }
        let mut flows = [TableFacts::default(); Table::ALL.len()];
        for (facts, table) in flows.iter_mut().zip(Table::ALL) {
            *facts = filter.table_facts(table)?;
        }
        let customers = customers(&filter, &lock(&self.current).config.policy)?;
        Ok(Snapshot {
            interfaces,
            flows,
            customers,
            contacts,
            facts: lock(&self.current).facts.clone(),
            reloads: self.reloads(),
        })
    }

    /// What the numbers in a verdict are called.
    pub fn names(&self) -> Value {
        let config = Arc::clone(&lock(&self.current).config);
        let policy = &config.policy;
        let tenants = policy.tenants.iter();
        let exceptions = policy.exceptions.iter().map(|one| {
            json!({
                "id": one.id,
                "slot": one.slot,
                "owner": one.owner,
                "reason": one.reason,
                "until": one.until,
            })
        });
        let protections = policy.protections.iter();
        json!({
            "tenants": tenants.map(|one| json!({ "name": one.name, "number": one.number })).collect::<Vec<_>>(),
            "exceptions": exceptions.collect::<Vec<_>>(),
            "protections": protections.map(|one| json!({ "id": one.id, "slot": one.slot })).collect::<Vec<_>>(),
        })
    }

    /// What `geofence status` shows.
    pub async fn status(&self) -> Value {
        let places = self.protection().await;
        let Current { config, facts, .. } = lock(&self.current).clone();
        let reloads = self.reloads();
        let interfaces: Vec<_> = places.iter().map(Place::to_json).collect();
        let lists: Vec<_> = facts.lists.iter().map(Report::to_json).collect();
        let databases = facts.databases.iter().map(|(name, built)| {
            json!({
                "name": name,
                "built": built,
                "age_days": now().saturating_sub(*built) / 86_400,
            })
        });
        json!({
            "instance": config.instance.name(),
            "process": std::process::id(),
            "program_version": env!("CARGO_PKG_VERSION"),
            "mode": facts.mode.word(),
            "generation": facts.generation,
            "listen": config.listen.to_string(),
            "databases": databases.collect::<Vec<_>>(),
            "lists": lists,
            "exceptions": Self::exceptions_in_short(&config),
            "interfaces": interfaces,
            "reloads": reloads.to_json(),
            "privilege": self.privilege.to_json(),
            "trial": lock(&self.trial).as_ref().map(trial::Trial::to_json),
        })
    }
}

/// A panic while a lock was held cannot have left half a value behind: each is written whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What was counted of tenants and exceptions.
fn customers(filter: &Filter, policy: &Policy) -> Result<Customers, LoadError> {
    let mut customers = Customers::default();
    for tenant in &policy.tenants {
        let counters = filter.tenant_counters(tenant.number)?;
        customers.tenants.push((tenant.name.clone(), counters));
    }
    let exceptions = policy.exceptions.iter();
    let exceptions = exceptions.map(|one| ("exception", &one.id, one.slot));
    let protections = policy.protections.iter();
    let protections = protections.map(|one| ("protect", &one.id, one.slot));
    let hits = filter.hits()?;
    for (kind, id, slot) in exceptions.chain(protections) {
        let packets = hits.get(slot as usize).map_or(0, |hits| hits.packets);
        // Of very many exceptions most are idle; a series for each would be more than anybody reads.
        if packets != 0 {
            customers.hits.push((kind, id.clone(), packets));
        }
    }
    let now = UnixSeconds::now();
    customers.exceptions = policy.live_exceptions(now).count();
    customers.lapsing = policy.expiring_exceptions(now).count();
    Ok(customers)
}
