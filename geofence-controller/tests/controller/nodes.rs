//! Nodes as the engine sees them: they check releases like an agent does, and report what the test wants of them.
//!
//! The agents and daemons of real nodes are tried by the laboratory of a fleet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use anyhow::Result;
use geofence_fleet::engine::Engine;
use geofence_fleet::keys::{Keys, Name, Watched};
use geofence_fleet::node_status::{FilterStatus, NodeStatus, Progress, ReleaseStatus};
use geofence_fleet::release::Release;
use geofence_fleet::settings::Settings;
use geofence_fleet::signature::VerifyKey;
use geofence_user::model::units::UnixSeconds;

/// How often the nodes look.
const LOOK: Duration = Duration::from_millis(100);

/// The group of every node.
const GROUP: &str = "default";

/// What the nodes are to report, and what they have reported.
#[derive(Default)]
struct Orders {
    refused: BTreeMap<(String, String), String>,
    failing: BTreeMap<String, String>,
    stalled: BTreeSet<String>,
    /// How many nodes had each revision of a subject, in order.
    taken: BTreeMap<(String, u64), Vec<usize>>,
}

pub(crate) struct Nodes(Arc<Mutex<Orders>>);

fn lock(orders: &Mutex<Orders>) -> MutexGuard<'_, Orders> {
    orders.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Nodes {
    /// Starts nodes of these names, on a thread of their own.
    pub(crate) fn start(names: &[&str], root: Settings) -> Result<Self> {
        let orders = Arc::new(Mutex::new(Orders::default()));
        let names: Result<Vec<Name>, _> = names.iter().map(|name| name.parse()).collect();
        let (names, followed) = (names?, Arc::downgrade(&orders));
        std::thread::spawn(move || -> Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let mut known = Known::default();
                while followed.strong_count() > 0 {
                    // The engine is away for a while in some tests.
                    let _ = report(&names, &root, &followed, &mut known).await;
                    tokio::time::sleep(LOOK).await;
                }
            });
            Ok(())
        });
        Ok(Self(orders))
    }

    /// Has a node refuse an exception.
    pub(crate) fn refuse(&self, node: &str, id: &str, why: &str) {
        let key = (node.to_owned(), id.to_owned());
        lock(&self.0).refused.insert(key, why.to_owned());
    }

    /// Has every node fail with what it gets next of a subject.
    pub(crate) fn fail(&self, subject: &str, why: &str) {
        let mut orders = lock(&self.0);
        orders.failing.insert(subject.to_owned(), why.to_owned());
    }

    /// Has no node report what it makes of a subject.
    pub(crate) fn stall(&self, subject: &str) {
        lock(&self.0).stalled.insert(subject.to_owned());
    }

    pub(crate) fn recover(&self) {
        let mut orders = lock(&self.0);
        orders.failing.clear();
        orders.stalled.clear();
    }

    /// How many nodes had this revision, each time that more had it.
    pub(crate) fn most_at_once(&self, subject: &str, revision: u64) -> Vec<usize> {
        let key = (subject.to_owned(), revision);
        lock(&self.0).taken.get(&key).cloned().unwrap_or_default()
    }
}

/// What each node has of each subject.
type Known = BTreeMap<(Name, String), ReleaseStatus>;

/// Has every node look at the engine and report, until the engine is away or the test is over.
async fn report(
    names: &[Name],
    root: &Settings,
    followed: &Weak<Mutex<Orders>>,
    known: &mut Known,
) -> Result<()> {
    let keys = Keys::of(&root.fleet);
    let verify = VerifyKey::load(&root.verify_key)?;
    let mut engine = Engine::connect(root).await?;
    // As `bootstrap node` does.
    for name in names {
        let group = GROUP.into();
        engine.put(&keys.known_node(name), group, None).await?;
    }
    while let Some(orders) = followed.upgrade() {
        let (entries, revision) = engine.list(&keys.watched()).await?;
        let mut statuses: Vec<NodeStatus> =
            names.iter().map(|name| status(name, revision)).collect();
        for entry in &entries {
            let Some(Watched::Release(subject)) = keys.read(&entry.key) else {
                continue;
            };
            let (path, release) = (
                subject.path(),
                serde_json::from_slice::<Release>(&entry.value)?,
            );
            let mut orders = lock(&orders);
            for status in &mut statuses {
                let key = (status.node.clone(), path.clone());
                let had = known.get(&key).map_or(0, |one| one.revision);
                let checked = release.check(&root.fleet, &subject, &verify, had);
                let is_new = had != release.revision;
                if is_new && release.includes(&status.node) && !orders.stalled.contains(&path) {
                    let (progress, why) = match (checked, orders.failing.get(&path)) {
                        (Err(why), _) => (Progress::Refused, Some(why)),
                        (Ok(()), Some(why)) => (Progress::Failed, Some(why.clone())),
                        (Ok(()), None) => (Progress::Active, None),
                    };
                    let new = ReleaseStatus {
                        revision: release.revision,
                        sha256: release.content.sha256.clone(),
                        progress,
                        why,
                    };
                    known.insert(key.clone(), new);
                }
                if let Some(own) = known.get(&key) {
                    status.releases.insert(path.clone(), own.clone());
                }
            }
            let has = |status: &&NodeStatus| {
                let own = status.releases.get(&path);
                own.is_some_and(|own| own.revision == release.revision)
            };
            let count = statuses.iter().filter(has).count();
            let taken = orders.taken.entry((path, release.revision)).or_default();
            if count > taken.last().copied().unwrap_or_default() {
                taken.push(count);
            }
        }
        for mut status in statuses {
            for ((node, id), why) in &lock(&orders).refused {
                if node == status.node.as_str() {
                    status.refused.insert(id.clone(), why.clone());
                }
            }
            let text = serde_json::to_vec(&status)?;
            engine.put(&keys.status(&status.node), text, None).await?;
        }
        drop(orders);
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

fn status(name: &Name, revision: i64) -> NodeStatus {
    NodeStatus {
        node: name.clone(),
        group: None,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        revision,
        since: UnixSeconds::now(),
        filter: Some(FilterStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            mode: "enforce".to_owned(),
            policy_hash: "h".to_owned(),
            generation: 1,
            protected: vec!["eth0".to_owned()],
            unprotected: Vec::new(),
            shortfalls: Vec::new(),
        }),
        daemon_error: None,
        exceptions: 0,
        bans: 0,
        refused: BTreeMap::new(),
        releases: BTreeMap::new(),
    }
}
