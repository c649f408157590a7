//! The command line.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use geofence_fleet::settings::DEFAULT_FILE;
use geofence_user::cli::Outcome;
use geofence_user::cli::log::LogArgs;
use tokio::runtime::Builder;

use crate::{crds, run};

/// Kubernetes resources for a fleet of geofences
///
/// Applies each GeofencePolicy, GeofenceException and GeofenceList to the fleet, as `geofence-fleet` does by command.
/// The status of each resource says what the nodes report.
#[derive(Debug, Parser)]
#[command(
    name = "geofence-controller",
    version,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Follow the resources of the cluster until a signal ends it
    Run(RunArguments),
    /// Print the definitions of the resources, for `kubectl apply`
    Crds,
}

/// Which fleet, and where to answer.
#[derive(Args, Debug)]
struct RunArguments {
    /// Settings file of an operator of the fleet; it names the key that signs releases
    #[arg(long, value_name = "FILE", env = "GEOFENCE_FLEET_SETTINGS", default_value = DEFAULT_FILE)]
    settings: PathBuf,
    /// Address and port for /livez and /metrics [default: neither is served]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    log: LogArgs,
}

impl Arguments {
    /// Does what was asked for.
    ///
    /// # Errors
    /// Why it could not.
    pub fn dispatch(&self, out: &mut dyn Write) -> anyhow::Result<Outcome> {
        match &self.verb {
            Verb::Run(arguments) => {
                arguments.log.start();
                let runtime = Builder::new_current_thread().enable_all().build();
                let runtime = runtime.context("starting the runtime")?;
                runtime.block_on(run::run(&arguments.settings, arguments.listen))?;
            }
            Verb::Crds => out.write_all(crds::yaml()?.as_bytes())?,
        }
        Ok(Outcome::Yes)
    }
}
