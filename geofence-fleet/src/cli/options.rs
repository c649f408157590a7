//! The options that several commands share.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use tokio::runtime::{Builder, Runtime};

use crate::rollout::Fleet;
use crate::settings::{DEFAULT_FILE, Settings};

/// The group for which none is named.
pub(super) const DEFAULT_GROUP: &str = "default";

/// Which fleet.
#[derive(Args, Clone, Debug)]
pub(super) struct SettingsArgs {
    /// Settings file: the fleet, its engine, and your certificate
    #[arg(long, value_name = "FILE", env = "GEOFENCE_FLEET_SETTINGS", default_value = DEFAULT_FILE)]
    settings: PathBuf,
}

/// Which fleet, and how to print the answer.
#[derive(Args, Clone, Debug)]
pub(super) struct FleetArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

impl SettingsArgs {
    pub(super) fn load(&self) -> anyhow::Result<Settings> {
        Ok(Settings::load(&self.settings)?)
    }
}

impl FleetArgs {
    pub(super) async fn connect(&self) -> anyhow::Result<Fleet> {
        Fleet::connect(self.settings.load()?).await
    }
}

/// A runtime on this thread: Landlock confines the thread that asks for it, and those that it starts.
pub(super) fn runtime() -> anyhow::Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")
}
