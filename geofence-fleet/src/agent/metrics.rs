//! The agent's own metrics.

use std::sync::atomic::AtomicU64;
use std::time::SystemTime;

use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::shared::{Shared, lock};
use crate::node_status::Progress;

type Labels = Vec<(&'static str, String)>;

pub(super) fn registry(shared: &Shared) -> Registry {
    let mut registry = Registry::with_prefix("geofence_fleet");
    let mut gauge = |name: &str, help: &str, value: f64| {
        let gauge = Gauge::<f64, AtomicU64>::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    };
    let wanted = shared.wanted.borrow().clone();
    let done = lock(&shared.done).clone();
    let (is_connected, heard, losses) = {
        let connection = lock(&shared.connection);
        let heard = connection.heard.map(|at| SystemTime::now() - at.elapsed());
        (connection.engine.is_some(), heard, connection.losses)
    };
    let heard = heard.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    let own = Shared::own_releases(&wanted);
    let due = own.iter().filter(|(subject, release)| {
        let known = done.releases.get(subject);
        release.includes(&shared.node)
            && known.is_none_or(|one| {
                one.revision != release.revision || one.progress != Progress::Active
            })
    });
    let behind = due.count() as f64;
    let revision = |revision: i64| {
        #[expect(clippy::cast_precision_loss, reason = "Prometheus' numbers are floats")]
        let revision = revision as f64;
        revision
    };
    gauge(
        "connected",
        "Whether the agent is connected to the engine",
        f64::from(u8::from(is_connected)),
    );
    gauge(
        "heard_timestamp_seconds",
        "When the engine last answered",
        heard.map_or(0.0, |since| since.as_secs_f64()),
    );
    gauge(
        "revision",
        "The engine's revision that the agent has seen",
        revision(wanted.revision.unwrap_or_default()),
    );
    gauge(
        "applied_revision",
        "The engine's revision up to which exceptions and bans are applied",
        revision(done.revision),
    );
    gauge(
        "exceptions",
        "Exceptions of the fleet that are in force",
        done.exceptions as f64,
    );
    gauge(
        "bans",
        "Bans of the fleet that are in force",
        done.bans as f64,
    );
    gauge(
        "refused",
        "Exceptions and bans of the fleet that the daemon has refused",
        done.refused.len() as f64,
    );
    gauge(
        "releases_behind",
        "Releases that this node is to have and does not use",
        behind,
    );
    gauge(
        "frozen",
        "Whether the fleet is frozen",
        f64::from(u8::from(wanted.is_frozen)),
    );
    let states = Family::<Labels, Gauge<i64>>::default();
    for (subject, one) in &done.releases {
        let labels = vec![
            ("subject", subject.path()),
            ("state", one.progress.word().to_owned()),
        ];
        let revision = i64::try_from(one.revision).unwrap_or(i64::MAX);
        states.get_or_create(&labels).set(revision);
    }
    registry.register(
        "release_revision",
        "The revision of each release that this node has taken or tried, by state",
        states,
    );
    registry.register(
        "connection_losses",
        "How often the connection to the engine was lost",
        ConstCounter::new(losses),
    );
    registry
}
