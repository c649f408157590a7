//! What the controller counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
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

    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "reconciliations",
            "How often a resource was compared with the fleet, by what came of it",
            self.reconciliations.clone(),
        );
    }
}
