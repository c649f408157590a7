//! The queries of the Grafana dashboard, as a test can ask them of Prometheus without Grafana.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// A query, and the panel that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    pub panel: String,
    pub expr: String,
}

/// What the dashboard asks.
#[derive(Clone, Debug)]
pub struct Dashboard {
    pub queries: Vec<Query>,
}

impl Dashboard {
    /// Reads the file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let model: Value = serde_json::from_str(&text)?;
        let of_panels = model["panels"].as_array().into_iter().flatten();
        let queries = of_panels.flat_map(|panel| {
            let targets = panel["targets"].as_array().into_iter().flatten();
            targets.filter_map(|target| {
                Some(Query {
                    panel: panel["title"].as_str()?.to_owned(),
                    expr: target["expr"].as_str()?.to_owned(),
                })
            })
        });
        let mut queries: Vec<_> = queries.collect();
        let annotations = model["annotations"]["list"]
            .as_array()
            .into_iter()
            .flatten();
        queries.extend(annotations.filter_map(|one| {
            Some(Query {
                panel: one["name"].as_str()?.to_owned(),
                expr: one["expr"].as_str()?.to_owned(),
            })
        }));
        Ok(Self { queries })
    }
}

impl Query {
    /// The query with Grafana's variables replaced, for all machines and a range in Prometheus' spelling.
    #[must_use]
    pub fn over(&self, range: &str) -> String {
        let replaced = self.expr.replace("$__rate_interval", range);
        let replaced = replaced
            .replace("$__range", range)
            .replace("$__interval", range);
        replaced.replace("$instance", ".*")
    }
}
