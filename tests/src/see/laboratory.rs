//! The machine of the laboratory with what watches it, and what its steps share.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;

use super::collector::Collector;
use super::stack::Stack;
use crate::daemon::Daemon;
use crate::dashboard::{Dashboard, Query};
use crate::lab::Scale;
use crate::lab::report::Row;
use crate::site::Site;

/// The machine, and what watches it.
pub(super) struct Lab {
    // Stopped before what it protects is gone.
    pub(super) daemon: Option<Daemon>,
    pub(super) site: Site,
    pub(super) scale: Scale,
    pub(super) collector: Collector,
    pub(super) _stack: Stack,
}

/// A row of which nothing has been seen yet.
pub(super) fn row(step: u8, what: &str, expected: &str, begun: Instant) -> Row {
    Row {
        step,
        what: what.to_owned(),
        expected: expected.to_owned(),
        seen: String::new(),
        took: begun.elapsed(),
        ok: false,
    }
}

/// The queries of the dashboard.
pub(super) fn queries() -> Result<Vec<Query>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/grafana/geofence.json");
    Ok(Dashboard::read(&file)?.queries)
}
