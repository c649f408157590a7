//! `geofence run`: protect interfaces until told to stop.
//!
//! What can fail without the kernel comes first, then the listener, then the program and its image; an interface is
//! attached when everything it needs is in place, so that its first packet is judged by the whole policy.

use std::io::IsTerminal as _;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use geofence_common::verdict::Mode;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use super::Outcome;
use super::options::PolicyArgs;
use crate::access::{self, Lockout, Replies};
use crate::config::{Config, overrides};
use crate::daemon::Daemon;
use crate::guard::{First, Refused};
use crate::kernel::Filter;
use crate::metrics::Facts;
use crate::prepare::{Prepared, now, prepare};
use crate::serve;

/// Attach the filter to interfaces and serve metrics until interrupted
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    policy: PolicyArgs,
    /// Interface to protect instead of those of the configuration; repeat it for several
    #[arg(long, value_name = "IF")]
    interface: Vec<String>,
    /// Whether to drop ("enforce") or only to count what would be dropped ("monitor")
    #[arg(long, value_name = "MODE")]
    mode: Option<String>,
    /// Address for /metrics and /healthz instead of that of the configuration
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Start even where geofence would rather not: with GeoIP data that lacks a listed country, or with a policy
    /// that cuts off this machine's SSH sessions, gateways, resolvers or metadata service
    #[arg(long)]
    force: bool,
}

impl Arguments {
    fn config(&self) -> anyhow::Result<Config> {
        let mut config = self.policy.config()?;
        if !self.interface.is_empty() {
            overrides::interfaces(&mut config, &self.interface)?;
        }
        if let Some(mode) = &self.mode {
            overrides::mode(&mut config, mode)?;
        }
        if let Some(listen) = &self.listen {
            overrides::listen(&mut config, listen)?;
        }
        if config.interfaces.is_empty() {
            bail!(
                "no interface to protect; name one with --interface, or with `interfaces` in the configuration"
            );
        }
        Ok(config)
    }
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    let _ = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info")),
        )
        .try_init();
    let force = arguments.force;
    let prepared = prepare(arguments.config()?)?;
    announce(&prepared);
    believe(&prepared, force)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("starting the runtime")?;
    runtime.block_on(keep_access(&prepared, force))?;
    runtime.block_on(protect(&prepared))?;
    Ok(Outcome::Yes)
}

async fn protect(prepared: &Prepared) -> anyhow::Result<()> {
    let config = &prepared.config;
    // The signals first: one that comes while the filter is being attached must not leave it half done.
    let mut interrupt = signal(SignalKind::interrupt()).context("waiting for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("waiting for SIGTERM")?;
    let listener = serve::listen(config.listen).await?;
    let mut filter = Filter::load(prepared.options(false))?;
    filter.install(&prepared.image, prepared.tries()?.as_ref())?;
    let diagnostics = filter.diagnostics();
    let mut attached = Vec::with_capacity(config.interfaces.len());
    for (slot, interface) in (1..).zip(&config.interfaces) {
        let one = filter.attach(interface, slot, config.xdp_mode).await?;
        info!(
            "protecting {} (index {}) in {} mode",
            one.interface, one.index, one.mode
        );
        attached.push(one);
    }
    let daemon = Arc::new(Daemon::new(filter, attached, facts(prepared)));
    let address = listener.local_addr().unwrap_or(config.listen);
    info!("ready: metrics on http://{address}/metrics");
    tokio::select! {
        result = serve::serve(listener, daemon) => result.context("serving metrics")?,
        () = diagnostics => bail!("the data path's log ended"),
        _ = interrupt.recv() => info!("interrupted: detaching"),
        _ = terminate.recv() => info!("terminated: detaching"),
    }
    Ok(())
}

/// Holds the data against what the guard knows, where nothing is in use to compare it with.
fn believe(prepared: &Prepared, force: bool) -> anyhow::Result<()> {
    let First { refusals, warnings } = prepared.first_data()?;
    for warning in warnings {
        warn!("{warning}");
    }
    if refusals.is_empty() {
        return Ok(());
    }
    if !force {
        return Err(Refused(refusals).into());
    }
    for refusal in refusals {
        warn!("forced: {refusal}");
    }
    Ok(())
}

/// Makes sure that the policy cuts off nobody this machine needs, unless that is what is wanted.
async fn keep_access(prepared: &Prepared, force: bool) -> anyhow::Result<()> {
    let (needed, unknown) = access::dependencies(&prepared.config.interfaces).await;
    for sentence in unknown {
        warn!("{sentence}");
    }
    let cut = access::cut(
        &needed,
        prepared.image.words(),
        Replies::of(&prepared.config.policy),
    );
    if cut.is_empty() {
        return Ok(());
    }
    if !force {
        return Err(Lockout(cut).into());
    }
    for cut in cut {
        warn!("forced: {cut}");
    }
    Ok(())
}

fn facts(prepared: &Prepared) -> Facts {
    let [v4, v6] = prepared.image.prefixes();
    Facts {
        mode: prepared.config.policy.mode,
        generation: prepared.image.generation(),
        databases: prepared
            .database
            .info()
            .sources
            .iter()
            .map(|one| (one.name.clone(), one.built))
            .collect(),
        prefixes_v4: v4 as usize,
        prefixes_v6: v6 as usize,
    }
}

fn announce(prepared: &Prepared) {
    let data = prepared.database.info();
    let names: Vec<&str> = data
        .sources
        .iter()
        .map(|source| source.name.as_str())
        .collect();
    let [v4, v6] = prepared.image.prefixes();
    info!(
        "GeoIP data: {}, {} days old, {v4} IPv4 and {v6} IPv6 prefixes",
        names.join(", "),
        data.age_days(now())
    );
    if let Some(attribution) = data.attribution {
        info!("{attribution}");
    }
    for warning in prepared
        .data_warnings()
        .into_iter()
        .chain(prepared.config.warnings())
    {
        warn!("{warning}");
    }
    if prepared.config.policy.mode == Mode::Monitor {
        warn!("monitor mode: nothing is dropped");
    }
}
