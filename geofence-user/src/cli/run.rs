//! `geofence run`: attaches the filter and runs the daemon until a signal ends it.
//!
//! What can fail without the kernel comes first, then the socket, address and lock that only one daemon can hold, then
//! the program and its image. An interface is attached, or taken over from an earlier daemon, once everything else is
//! in place. From then on the filter outlives the process, however it ends; only Ctrl-C detaches it.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use super::log;
use super::options::{InstanceArgs, PolicyArgs};
use super::outcome::Outcome;
use super::request::ForceArgs;
use crate::config::{Config, overrides};
use crate::daemon::event_names::CounterIds;
use crate::daemon::event_watch::watch_events;
use crate::daemon::file_watch::watch_files;
use crate::daemon::interfaces::watch_interfaces;
use crate::daemon::{ConfigSource, Daemon, Privilege, ReloadOptions, Start};
use crate::kernel::{Attached, Events, Filter, Pins, Survey};
use crate::os::file_stamps::FileStamps;
use crate::os::{memory, notify};
use crate::serve::{control, http};

/// Attach the filter to interfaces, keep it attached, and serve metrics
///
/// The filter stays attached when this process ends, and the next `geofence run` takes it over without a gap. Ctrl-C
/// and `geofence detach` detach it. SIGHUP, `geofence reload` and changed files activate a new policy.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    #[command(flatten)]
    policy: PolicyArgs,
    /// Interface to protect instead of those of the configuration; repeat it for several
    #[arg(long, value_name = "IF")]
    interface: Vec<String>,
    /// Whether to drop packets ("enforce") or only to count what would be dropped ("monitor")
    #[arg(long, value_name = "MODE")]
    mode: Option<String>,
    /// Address for /metrics and /healthz instead of that of the configuration
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    #[command(flatten)]
    instance: InstanceArgs,
    #[command(flatten)]
    force: ForceArgs,
}

impl Arguments {
    /// The configuration with the options of the command line; `instead` names a file to read instead of the usual one.
    fn config(&self, instead: Option<&Path>) -> anyhow::Result<Config> {
        let mut policy = self.policy.clone();
        if let Some(path) = instead {
            policy.config = Some(path.to_owned());
        }
        let mut config = policy.config()?;
        if !self.interface.is_empty() {
            overrides::interfaces(&mut config, &self.interface)?;
        }
        if let Some(mode) = &self.mode {
            overrides::mode(&mut config, mode)?;
        }
        if let Some(listen) = &self.listen {
            overrides::listen(&mut config, listen)?;
        }
        self.instance.apply(&mut config)?;
        if config.interfaces.is_empty() {
            bail!(
                "no interface to protect; name one with --interface, or with `interfaces` in the configuration"
            );
        }
        Ok(config)
    }
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    memory::keep_large_apart();
    log::start();
    let force = arguments.force.force;
    let source = ConfigSource {
        file: arguments.policy.config.clone(),
        read: Box::new(move |instead| arguments.config(instead)),
    };
    let (config, files) = source.read(None, &FileStamps::default());
    let start = Start::prepare(config?, force)?;
    start.log();
    super::runtime::new()?.block_on(protect((source, files), force, start))?;
    Ok(Outcome::Yes)
}

async fn protect(
    (source, files): (ConfigSource, FileStamps),
    force: bool,
    start: Start,
) -> anyhow::Result<()> {
    // The signals first: one that arrives while the filter is being attached must not interrupt that.
    let mut signals = Signals::new()?;
    start.check_lockout(force).await?;
    let Start {
        candidate,
        last_failure,
        ..
    } = start;
    let config = &candidate.config;
    let (instance, pins) = (config.instance.clone(), Pins::of(&config.instance));
    let _lock = instance.lock()?;
    let listener = http::listen(config.listen).await?;
    let control = control::listen(&instance)?;
    let survey = Survey::take(&pins, &config.interfaces).await?;
    let mut options = candidate.options();
    options.interfaces = survey.interfaces();
    let mut filter = Filter::load_onto(options, &pins)?;
    filter.count_lists(&CounterIds::of(config).lists)?;
    filter.install(&candidate.image, candidate.tries.as_ref())?;
    let diagnostics = filter.diagnostics();
    let attached = filter.take_over(&survey, config.xdp_mode).await?;
    let events = filter.take_events()?;
    log_attached(&attached);
    let is_as_requested = last_failure.is_none();
    let privilege = Privilege::drop(&instance, &source, &files);
    let daemon = Arc::new(Daemon::new(
        filter,
        attached,
        candidate,
        (source, files),
        last_failure,
        privilege,
    ));
    // An image without the runtime exceptions is not the last good one.
    if is_as_requested {
        daemon.save_image();
    }
    memory::give_back();
    let serving = serve(listener, control, events, &daemon);
    let detach = tokio::select! {
        result = serving => return result.context("serving metrics"),
        () = diagnostics => bail!("the log of the eBPF program ended"),
        detach = follow_signals(&mut signals, &daemon) => detach,
    };
    // If the socket cannot be removed, the next start removes it.
    let _ = std::fs::remove_file(instance.socket());
    if detach {
        info!("interrupted: detaching");
        pins.detach(&pins.indexes()?).await?;
        pins.remove()?;
    } else {
        info!("terminated: the filter stays attached; `geofence detach --all` detaches it");
    }
    Ok(())
}

fn log_attached(attached: &[Attached]) {
    for one in attached {
        let how = if one.is_adopted {
            "taken over from an earlier geofence"
        } else {
            "attached"
        };
        info!(
            "protecting {} (index {}) in {} mode, {how}",
            one.interface, one.index, one.mode
        );
    }
}

/// Starts the daemon's tasks, reports that the filter is in place, and serves HTTP; never ends without an error.
async fn serve(
    listener: TcpListener,
    control: UnixListener,
    events: Events,
    daemon: &Arc<Daemon>,
) -> std::io::Result<()> {
    tokio::spawn(control::serve(control, Arc::clone(daemon)));
    tokio::spawn(watch_files(Arc::clone(daemon)));
    tokio::spawn(watch_interfaces(Arc::clone(daemon)));
    tokio::spawn(watch_events(events, Arc::clone(daemon)));
    let address = listener.local_addr()?;
    info!("ready: metrics on http://{address}/metrics");
    if let Err(error) = notify::ready() {
        warn!("cannot report to the service manager that the filter is in place: {error}");
    }
    http::serve(listener, Arc::clone(daemon)).await
}

/// The signals that the daemon obeys.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let one = |kind, name: &str| signal(kind).with_context(|| format!("waiting for {name}"));
        Ok(Self {
            interrupt: one(SignalKind::interrupt(), "Ctrl-C")?,
            terminate: one(SignalKind::terminate(), "SIGTERM")?,
            hangup: one(SignalKind::hangup(), "SIGHUP")?,
        })
    }
}

/// Reloads on SIGHUP until a signal ends the daemon; returns whether to detach the filter.
async fn follow_signals(signals: &mut Signals, daemon: &Arc<Daemon>) -> bool {
    loop {
        tokio::select! {
            _ = signals.interrupt.recv() => return true,
            _ = signals.terminate.recv() => return false,
            _ = signals.hangup.recv() => {
                let daemon = Arc::clone(daemon);
                tokio::spawn(async move {
                    info!("SIGHUP: reloading");
                    // A failure is logged and counted by the reload.
                    let _ = daemon.reload(ReloadOptions::default()).await;
                });
            }
        }
    }
}
