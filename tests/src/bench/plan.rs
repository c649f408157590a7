//! What a run of the benchmark measures with: the data, its oracle, and how long to look.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use geofence_user::config::Config;
use geofence_user::oracle::Oracle;
use geofence_user::prepare::{Prepared, prepare};

pub(crate) struct Plan {
    /// Whether only the answers count.
    pub(crate) smoke: bool,
    pub(crate) rounds: usize,
    /// Addresses in a set, a power of two.
    pub(crate) set_size: usize,
    pub(crate) prepared: Prepared,
    pub(crate) oracle: Oracle,
}

impl Plan {
    pub(crate) fn new(smoke: bool, databases: Vec<PathBuf>) -> Result<Self> {
        let config = Config {
            databases,
            ..Config::default()
        };
        let prepared = prepare(config).context("compiling the default policy")?;
        let oracle = Oracle::new(&prepared.config.policy, &prepared.database);
        let (rounds, set_size) = if smoke { (2, 1 << 10) } else { (11, 1 << 17) };
        Ok(Self {
            smoke,
            rounds,
            set_size,
            prepared,
            oracle,
        })
    }
}
