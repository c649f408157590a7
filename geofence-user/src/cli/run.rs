//! `geofence run`: attaches the filter and runs the daemon until a signal ends it.
//!
//! What can fail without the kernel comes first, then the lock that only one daemon can hold, then the program and its
//! image. An interface is attached, or taken over from an earlier daemon, once everything else is in place. From then
//! on the filter outlives the process, however it ends; only Ctrl-C detaches it.
//!
//! A start protects what it can, names what is missing and tries again. It fails if nothing can be protected, now or
//! later. `--strict` makes each missing part an error.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use tokio::net::UnixListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

use super::exit_code::Trouble;
use super::log::LogArgs;
use super::options::{InstanceArgs, PolicyArgs};
use super::outcome::Outcome;
use super::request::ForceArgs;
use crate::config::Config;
use crate::config::overrides::Overrides;
use crate::daemon::clock_watch::watch_clock;
use crate::daemon::event_names::CounterIds;
use crate::daemon::event_watch::watch_records;
use crate::daemon::file_watch::watch_files;
use crate::daemon::heartbeat::keep_beating;
use crate::daemon::history::keep_history;
use crate::daemon::interfaces::watch_interfaces;
use crate::daemon::observation::watch_observers;
use crate::daemon::rates::sample_counters;
use crate::daemon::recovery::recover;
use crate::daemon::service_status::keep_reporting;
use crate::daemon::state_watch::watch_state;
use crate::daemon::{ConfigSource, Daemon, Privilege, ReloadOptions, Start};
use crate::kernel::{AllRecords, Filter, Pins, Placed, Survey, is_private};
use crate::model::private_pins::PRIVATE_PINS;
use crate::os::file_stamps::FileStamps;
use crate::os::instance::{Instance, InstanceError, Lock};
use crate::os::{memory, notify};
use crate::serve::control::Door;
use crate::serve::http::{Bound, ListenError, Site};
use crate::serve::{control, http};

/// Attach the filter to interfaces, keep it attached, and serve metrics
///
/// The filter stays attached when this process ends, and the next `geofence run` takes it over without a gap. Ctrl-C
/// and `geofence detach` detach it. SIGHUP, `geofence reload` and changed files activate a new policy.
///
/// A start protects what it can, names what is missing, and keeps trying: an interface that does not exist yet, a list
/// that cannot be used, a metrics address that is taken. With a configuration that cannot be read, it filters by the
/// last good image.
///
/// Exits with 78 if the configuration cannot be read and there is no last good image, 77 if a privilege is missing, 69
/// if no interface can be protected and waiting does not change that, and 2 on other trouble.
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
    /// Fail if an interface, a list, an address or any other part is not available at once
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    log: LogArgs,
}

impl Arguments {
    /// The options that replace keys of the configuration.
    fn overrides(&self) -> Overrides {
        Overrides {
            databases: self.policy.database.clone(),
            block: self.policy.block.clone(),
            interfaces: self.interface.clone(),
            mode: self.mode.clone(),
            listen: self.listen.clone(),
        }
    }

    /// The configuration with the options of the command line; `instead` names a file to read instead of the usual one.
    fn config(&self, instead: Option<&Path>) -> anyhow::Result<Config> {
        let mut policy = self.policy.clone();
        if let Some(path) = instead {
            policy.config = Some(path.to_owned());
        }
        let mut config = policy.config()?;
        self.overrides().apply(&mut config)?;
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
    arguments.log.start();
    let (force, is_strict) = (arguments.force.force, arguments.strict);
    let named = arguments.instance.instance.clone();
    let source = ConfigSource {
        file: arguments.policy.file().map(Path::to_owned),
        overrides: arguments.overrides(),
        read: Box::new(move |instead| arguments.config(instead)),
    };
    let (config, files) = source.read(None, &FileStamps::default());
    let start = match config {
        Ok(config) => Start::prepare(config, force, is_strict)?,
        Err(error) if is_strict => return Err(Trouble::configuration(error).into()),
        Err(error) => {
            let instance = named.and_then(|name| name.parse().ok());
            let instance = instance.or_else(|| source.instance()).unwrap_or_default();
            let start = Start::without_configuration(&source, &instance, &error);
            start.ok_or_else(|| Trouble::configuration(error))?
        }
    };
    start.log();
    let protected = protect((source, files), (force, is_strict), start);
    super::runtime::new()?
        .block_on(protected)
        .map_err(Trouble::of)?;
    Ok(Outcome::Yes)
}

async fn protect(
    (source, files): (ConfigSource, FileStamps),
    (force, is_strict): (bool, bool),
    start: Start,
) -> anyhow::Result<()> {
    // The signals first: one that arrives while the filter is being attached must not interrupt that.
    let mut signals = Signals::new()?;
    let Start {
        candidate,
        last_failure,
        ..
    } = start.check_lockout(force).await?;
    let config = &candidate.config;
    let (instance, pins) = (config.instance.clone(), Pins::of(&config.instance));
    let _locks = lock(&instance, &pins, is_strict)?;
    let site = Site::of(config);
    let listener = http::listen(&site).await;
    let doors = doors(config);
    if is_strict {
        listener.as_ref().map_err(|error| anyhow!("{error}"))?;
        for (_, socket) in &doors {
            socket.as_ref().map_err(|error| anyhow!("{error}"))?;
        }
    }
    let survey = Survey::take(&pins, &config.interfaces, is_strict).await?;
    let mut options = candidate.options();
    options.interfaces = survey.interfaces();
    let mut filter = Filter::load_onto(options, &pins)?;
    if survey.needs_ip() {
        filter.load_ip()?;
    }
    let ids = CounterIds::of(config);
    filter.count_lists(&ids.lists)?;
    filter.count_services(&ids.services)?;
    filter.install(&candidate.image, candidate.tries.as_ref())?;
    let diagnostics = filter.diagnostics();
    let placed = filter.take_over(survey, config.xdp_mode, &config.inner_interfaces);
    let placed = placed.await?;
    let records = filter.take_records();
    log_placed(&placed);
    let summary = summary(&placed);
    let is_as_requested = last_failure.is_none();
    let unbound = listener.is_err().then_some(config.listen);
    let privilege = Privilege::drop(&instance, &source, &files, unbound, &config.events);
    let daemon = Arc::new(Daemon::new(
        filter,
        placed,
        candidate,
        (source, files),
        last_failure,
        privilege,
    ));
    daemon.start_sinks();
    // An image without the runtime exceptions is not the last good one.
    if is_as_requested {
        daemon.save_image();
    }
    memory::give_back();
    for (door, socket) in doors {
        tokio::spawn(control::listen_and_serve(socket, door, Arc::clone(&daemon)));
    }
    let serving = serve((listener, site), records, &summary, &daemon);
    let detach = tokio::select! {
        result = serving => return result.context("serving metrics"),
        () = diagnostics => bail!("the log of the eBPF program ended"),
        detach = follow_signals(&mut signals, &daemon) => detach,
    };
    daemon.end_history();
    daemon.end_observation();
    // If a socket cannot be removed, the next start removes it.
    let _ = std::fs::remove_file(instance.socket());
    let _ = std::fs::remove_file(instance.agent_socket());
    if detach {
        let _ = notify::stopping("detaching");
        info!("interrupted: detaching the filter ({})", daemon.in_words());
        pins.detach(&pins.indexes()?).await?;
        pins.remove()?;
        info!("detached: nothing is filtered from now on");
    } else {
        leave_attached(&daemon).await;
    }
    Ok(())
}

/// The control socket, and that of the fleet agent if there is one.
fn doors(config: &Config) -> Vec<(Door, Result<UnixListener, control::ListenError>)> {
    let agent = config.fleet_user.as_ref();
    let agent = agent.map(|user| Door::agent(&config.instance, user));
    let doors = std::iter::once(Door::control(&config.instance)).chain(agent);
    doors
        .map(|door| {
            let socket = door.listen();
            (door, socket)
        })
        .collect()
}

/// Reports where the filter goes on without this process, as the kernel says: it may have been detached meanwhile.
async fn leave_attached(daemon: &Daemon) {
    if daemon.is_attached() && is_private() {
        let _ = notify::stopping("the filter ends with the last process of this mount namespace");
        return error!(
            "terminated: the filter ends with the last process of this mount namespace, and NOTHING IS FILTERED from \
             then on. {PRIVATE_PINS}"
        );
    }
    let gaps = daemon.gaps().await.join("; ");
    let words = daemon.in_words();
    let is_attached = daemon.is_attached();
    let outcome = match (is_attached, gaps.is_empty()) {
        (true, true) => "the filter stays attached".to_owned(),
        (true, false) => format!("the filter stays attached, but {gaps}"),
        (false, _) => format!("NOTHING IS FILTERED: {gaps}"),
    };
    let _ = notify::stopping(&outcome);
    match (is_attached, gaps.is_empty()) {
        (true, true) => info!(
            "terminated: the filter stays attached and goes on ({words}); `geofence detach --all` detaches it"
        ),
        (true, false) => warn!(
            "terminated: the filter goes on ({words}); `geofence detach --all` detaches it. {gaps}"
        ),
        (false, _) => error!("terminated, and NOTHING IS FILTERED: {gaps}"),
    }
}

/// Makes this process the only daemon of its name: by the directory below /run, which can be removed or unusable, and
/// by that of the pins.
fn lock(instance: &Instance, pins: &Pins, is_strict: bool) -> anyhow::Result<[Option<Lock>; 2]> {
    let usual = match instance.lock() {
        Ok(lock) => Some(lock),
        Err(error @ InstanceError::Taken { .. }) => return Err(error.into()),
        Err(error) if is_strict => return Err(error.into()),
        Err(error) => {
            warn!("{error}");
            None
        }
    };
    pins.prepare()?;
    Ok([usual, Some(instance.lock_on(pins.directory())?)])
}

fn log_placed(placed: &[Placed]) {
    for Placed {
        interface,
        attached,
        ..
    } in placed
    {
        match attached {
            Ok(one) => {
                let how = if one.is_adopted {
                    "taken over from an earlier geofence"
                } else {
                    "attached"
                };
                info!(
                    "protecting {interface} (index {}) in {} mode, {how}",
                    one.index, one.mode
                );
            }
            Err(error) if error.is_missing() => {
                error!("{interface} is NOT PROTECTED until it exists: {error}");
            }
            Err(error) => error!("{interface} is NOT PROTECTED, geofence keeps trying: {error}"),
        }
    }
    if placed.iter().all(|one| one.attached.is_err()) {
        error!("NOTHING IS PROTECTED YET");
    }
}

/// One line for the service manager.
fn summary(placed: &[Placed]) -> String {
    let names = |is_attached: bool| {
        let some = placed
            .iter()
            .filter(|one| one.attached.is_ok() == is_attached);
        let names: Vec<&str> = some.map(|one| one.interface.as_str()).collect();
        names.join(", ")
    };
    match (names(true).as_str(), names(false).as_str()) {
        (on, "") => format!("protects {on}"),
        ("", off) => format!("NOTHING IS PROTECTED YET, waiting for {off}"),
        (on, off) => format!("protects {on}; NOT PROTECTED yet: {off}"),
    }
}

/// Starts the daemon's tasks, reports that the filter is in place, and serves HTTP; never ends without an error.
async fn serve(
    (listener, site): (Result<Bound, ListenError>, Site),
    records: AllRecords,
    summary: &str,
    daemon: &Arc<Daemon>,
) -> std::io::Result<()> {
    tokio::spawn(keep_beating(Arc::clone(&daemon.heartbeat)));
    tokio::spawn(watch_files(Arc::clone(daemon)));
    tokio::spawn(watch_clock(Arc::clone(daemon)));
    tokio::spawn(watch_state(Arc::clone(daemon)));
    tokio::spawn(watch_interfaces(Arc::clone(daemon)));
    tokio::spawn(watch_records(records, Arc::clone(daemon)));
    tokio::spawn(watch_observers(Arc::clone(daemon)));
    tokio::spawn(recover(Arc::clone(daemon)));
    tokio::spawn(keep_reporting(Arc::clone(daemon)));
    tokio::spawn(sample_counters(Arc::clone(daemon)));
    tokio::spawn(keep_history(Arc::clone(daemon)));
    let url = listener.as_ref().ok().and_then(|one| one.url("/metrics"));
    match url {
        Some(url) => info!("ready: metrics on {url}; {}", daemon.in_words()),
        None => info!("ready: no metrics yet; {}", daemon.in_words()),
    }
    if let Err(error) = notify::ready(summary) {
        warn!("cannot report to the service manager that the filter is in place: {error}");
    }
    http::bind_and_serve(listener, site, Arc::clone(daemon)).await
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
