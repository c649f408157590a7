//! Writes snapshots in either format, and remembers which series exist.

use std::collections::BTreeMap;
use std::fmt::Error;
use std::sync::{Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{self, DescriptorEncoder, prometheus_text};
use prometheus_client::registry::Registry;

use super::exception_series::{ExceptionSeries, OwnExceptions};
use super::families::Families;
use super::packet_series::{OwnSeries, PacketSeries};
use super::{
    database_updates, flows, interfaces, lists, observation, policy, process, services, tenants,
};
use crate::daemon::facts::Snapshot;

pub use prometheus_text::CONTENT_TYPE as TEXT;

/// The content type of OpenMetrics.
pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The commit that this program was built from, where the build knows it.
const REVISION: &str = match option_env!("GEOFENCE_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// Writes what a scrape reads.
#[derive(Debug, Default)]
pub struct Exporter(Mutex<Bounds>);

/// Which series exist.
#[derive(Debug, Default)]
struct Bounds {
    /// By interface.
    packets: BTreeMap<String, OwnSeries>,
    exceptions: OwnExceptions,
}

impl Exporter {
    /// Writes a snapshot as OpenMetrics.
    pub fn openmetrics(&self, snapshot: Snapshot) -> Result<String, Error> {
        let mut text = String::new();
        encoding::text::encode(&mut text, &self.registry(snapshot))?;
        Ok(text)
    }

    /// Writes a snapshot in Prometheus' text format, whose content type is `TEXT`.
    pub fn text(&self, snapshot: Snapshot) -> Result<String, Error> {
        let mut text = String::new();
        prometheus_text::encode(&mut text, &self.registry(snapshot))?;
        Ok(text)
    }

    fn registry(&self, snapshot: Snapshot) -> Registry {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self.scrape(snapshot)));
        registry
    }

    fn scrape(&self, snapshot: Snapshot) -> Scrape {
        // Each value is written whole, so a panic cannot have left half of one behind.
        let mut bounds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let packets = snapshot
            .interfaces
            .iter()
            .map(|one| {
                let own = bounds.packets.entry(one.name.clone()).or_default();
                own.of(&one.counters, &snapshot.settings)
            })
            .collect();
        Scrape {
            packets,
            exceptions: bounds.exceptions.of(&snapshot.tenants.hits),
            snapshot,
        }
    }
}

/// A snapshot, and its counters of which the number of series has a bound.
struct Scrape {
    snapshot: Snapshot,
    /// In the order of the interfaces.
    packets: Vec<Vec<PacketSeries>>,
    exceptions: ExceptionSeries,
}

impl std::fmt::Debug for Scrape {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_tuple("Scrape")
            .field(&self.snapshot)
            .finish()
    }
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let families = &mut Families(encoder);
        let snapshot = &self.snapshot;
        interfaces::encode(&snapshot.interfaces, &self.packets, families)?;
        services::encode(&snapshot.services, families)?;
        flows::encode(&snapshot.flows, families)?;
        tenants::encode(&snapshot.tenants, &self.exceptions, families)?;
        lists::encode_counters(&snapshot.lists, families)?;
        lists::encode_reports(&snapshot.facts.lists, families)?;
        observation::encode(&snapshot.observed, families)?;
        policy::encode_reloads(&snapshot.reloads, &snapshot.shortfalls, families)?;
        policy::encode(snapshot, families)?;
        database_updates::encode(&snapshot.database_updates, families)?;
        families.gauges(
            "geofence_build_info",
            "The running program: its version, and the commit it was built from",
            [(
                [
                    ("version", env!("CARGO_PKG_VERSION")),
                    ("revision", REVISION),
                ],
                1_i64,
            )],
        )?;
        families.gauges(
            "geofence_scrape_duration_seconds",
            "How long it took to read the counters for this answer",
            [([("", ""); 0], snapshot.took.as_secs_f64())],
        )?;
        process::encode(families)
    }
}
