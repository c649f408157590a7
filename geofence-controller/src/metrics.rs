//! What the controller counts, and whether it is connected.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

type Labels = [(&'static str, String); 2];

/// What is counted.
#[derive(Default)]
pub(crate) struct Metrics {
    reconciliations: Family<Labels, Counter>,
}

impl Metrics {
    /// A resource of this kind was brought in line, or could not be.
    pub(crate) fn count(&self, kind: &str, is_done: bool) {
        let result = if is_done { "done" } else { "failed" };
        let labels = [("kind", kind.to_owned()), ("result", result.to_owned())];
        self.reconciliations.get_or_create(&labels).inc();
    }

    /// Everything, as it is now.
    pub(crate) fn registry(&self, is_connected: bool) -> Registry {
        let mut registry = Registry::with_prefix("geofence_controller");
        let connected = Gauge::<f64, AtomicU64>::default();
        connected.set(f64::from(u8::from(is_connected)));
        registry.register(
            "engine_connected",
            "Whether the controller is connected to the engine",
            connected,
        );
        registry.register(
            "reconciliations",
            "How often a resource was compared with the fleet, by kind and result",
            self.reconciliations.clone(),
        );
        registry
    }
}
