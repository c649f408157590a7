//! `geofence run`: protect interfaces until told to stop.
//!
//! What can fail without the kernel comes first, then the places that only one daemon can have, then the program and
//! its image; an interface is attached, or taken over from an earlier daemon, when everything it needs is in place.
//! From then on the filter outlives the process, whatever ends it, unless Ctrl-C tells it to take the filter along.

use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use geofence_common::action::Mode;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

use super::options::{InstanceArgs, PolicyArgs};
use super::outcome::Outcome;
use crate::checks::lockout;
use crate::checks::lockout::watcher::Watcher;
use crate::config::{Config, overrides};
use crate::daemon::RuntimeExceptionStore;
use crate::daemon::candidate::Candidate;
use crate::daemon::event_names::CounterIds;
use crate::daemon::event_watch::watch_events;
use crate::daemon::facts::LastFailure;
use crate::daemon::file_watch::watch_files;
use crate::daemon::interfaces::watch_interfaces;
use crate::daemon::{ConfigSource, Daemon, Privilege, ReloadOptions};
use crate::kernel::{self, Filter, Pins, Survey};
use crate::model::failure::Cause;
use crate::os::file_stamps::FileStamps;
use crate::os::instance::{Instance, private_directory};
use crate::os::memory;
use crate::os::notify;
use crate::os::privilege::{RetainedPrivilege, drop_privileges};
use crate::os::state::StateDirectory;
use crate::prepare::{boot, now};
use crate::serve::{control, http as serve};

/// Attach the filter to interfaces, look after it and serve metrics
///
/// The filter stays when this process ends, and the next `geofence run` takes it over without a gap. Ctrl-C takes it
/// off, and so does `geofence detach`. SIGHUP, `geofence reload` and changed files put a new policy in place.
#[derive(Args, Clone, Debug)]
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
    #[command(flatten)]
    instance: InstanceArgs,
    /// Start even where geofence would rather not: with GeoIP data that the guard does not believe, or with a policy
    /// that cuts off this machine's SSH sessions, gateways, resolvers or metadata service
    #[arg(long)]
    force: bool,
}

impl Arguments {
    /// The configuration, or that of another file in its place, with what the command line says.
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
    let source = ConfigSource {
        file: arguments.policy.config.clone(),
        read: Box::new(move |instead| arguments.config(instead)),
    };
    let (config, files) = source.read(None, &FileStamps::default());
    let (config, broken) = with_runtime_exceptions(config?);
    let mut start = choose(config, force)?;
    start.trouble = start.trouble.or(broken);
    announce(&start.candidate);
    // One thread: what it may do, the process may do.
    let runtime = super::runtime::new()?;
    runtime.block_on(protect((source, files), force, start))?;
    Ok(Outcome::Yes)
}

/// The configuration with the runtime exceptions, or without them if their file is broken: without them geofence blocks a
/// little more, which is better than not starting.
fn with_runtime_exceptions(config: Config) -> (Config, Option<LastFailure>) {
    let read = RuntimeExceptionStore::of(&config.instance).add_to(config.clone());
    read.map_or_else(
        |failure| {
            error!("{failure}\nSTARTING WITHOUT THE RUNTIME EXCEPTIONS, until a reload succeeds");
            (config, Some(LastFailure::now(failure)))
        },
        |config| (config, None),
    )
}

/// What is to filter from the start.
struct Start {
    candidate: Candidate,
    is_last_good: bool,
    /// Why it is not what was asked for.
    trouble: Option<LastFailure>,
}

/// What to filter by: what was asked for, or the last good image where the data is not to be had.
fn choose(config: Config, force: bool) -> anyhow::Result<Start> {
    let last_good = StateDirectory::of(&config.instance)
        .load()
        .unwrap_or_else(|error| {
            warn!("there is no last good image: {error}");
            None
        });
    let failure = match Candidate::prepare(config.clone(), last_good.as_ref(), None, 0, force) {
        Ok(candidate) => {
            return Ok(Start {
                candidate,
                is_last_good: false,
                trouble: None,
            });
        }
        Err(failure) => failure,
    };
    match last_good {
        Some(image) if matches!(failure.cause, Cause::Database | Cause::List | Cause::Sanity) => {
            error!(
                "{failure}\nFILTERING BY THE LAST GOOD IMAGE: its policy and its data are in force, whatever the \
                 configuration says, until a reload succeeds"
            );
            Ok(Start {
                candidate: Candidate::last_good(config, image.in_boot(boot(), now())),
                is_last_good: true,
                trouble: Some(LastFailure::now(failure)),
            })
        }
        _ => Err(failure.into()),
    }
}

/// What ends the daemon, and what asks for something else.
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

async fn protect(
    source: (ConfigSource, FileStamps),
    force: bool,
    start: Start,
) -> anyhow::Result<()> {
    let Start {
        candidate,
        is_last_good,
        trouble,
    } = start;
    // The signals first: one that comes while the filter is being attached must not leave it half done.
    let mut signals = Signals::new()?;
    if !is_last_good {
        let (needed, unknown) = lockout::dependencies(&candidate.config.interfaces, None).await;
        for sentence in unknown {
            warn!("{sentence}");
        }
        candidate.check_lockout(&needed, force)?;
    }
    let config = &candidate.config;
    let (instance, address) = (config.instance.clone(), config.listen);
    let _lock = instance.lock()?;
    let listener = serve::listen(address).await?;
    let control = control::listen(&instance)?;
    let pins = Pins::of(&instance);
    let survey = Survey::take(&pins, &config.interfaces).await?;
    let mut options = candidate.options();
    options.interfaces = survey.interfaces();
    let mut filter = Filter::load_onto(options, &pins)?;
    filter.count_lists(&CounterIds::of(&candidate.config).lists)?;
    filter.install(&candidate.image, candidate.tries.as_ref())?;
    let diagnostics = filter.diagnostics();
    let attached = filter.take_over(&survey, config.xdp_mode).await?;
    let events = filter.take_events()?;
    for one in &attached {
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
    let is_whole = trouble.is_none();
    let privilege = privilege(&instance, &source);
    let daemon = Arc::new(Daemon::new(
        filter, attached, candidate, source, trouble, privilege,
    ));
    // An image without what was granted is not the last good one.
    if is_whole {
        daemon.save_image();
    }
    memory::give_back();
    tokio::spawn(control::serve(control, Arc::clone(&daemon)));
    tokio::spawn(watch_files(Arc::clone(&daemon)));
    tokio::spawn(watch_interfaces(Arc::clone(&daemon)));
    tokio::spawn(watch_events(events, Arc::clone(&daemon)));
    let address = listener.local_addr().unwrap_or(address);
    info!("ready: metrics on http://{address}/metrics");
    if let Err(error) = notify::ready() {
        warn!("the service manager is not told that the filter is in place: {error}");
    }
    let serving = serve::serve(listener, Arc::clone(&daemon));
    let detach = tokio::select! {
        result = serving => return result.context("serving metrics"),
        () = diagnostics => bail!("the data path's log ended"),
        detach = obey(&mut signals, &daemon) => detach,
    };
    // Nobody answers any more; what is left of a socket is removed at the next start.
    let _ = std::fs::remove_file(instance.socket());
    if detach {
        info!("interrupted: detaching");
        pins.detach(&pins.indexes()?).await?;
        pins.remove()?;
    } else {
        info!("terminated: the filter stays; `geofence detach --all` takes it off");
    }
    Ok(())
}

/// Gives up what looking after a filter does not take. From here on nothing is attached that has no pin, no program is
/// loaded, and nothing is written but below the places of this instance and of its configuration.
fn privilege(instance: &Instance, (source, files): &(ConfigSource, FileStamps)) -> Privilege {
    let watcher = Watcher::start().map_err(|error| {
        warn!("nobody sees who is logged in over SSH when files change: {error}");
    });
    let mut kept = Vec::from_iter(RetainedPrivilege::to_read(files.paths()));
    if !kernel::has_tcx() {
        kept.push(RetainedPrivilege::to_attach_by_netlink());
    }
    let state = instance.state_directory();
    // One that cannot be made is told of when something is to be kept in it.
    let _ = private_directory(&state);
    let mut places = vec![state, instance.run_directory(), Pins::root().to_owned()];
    // A policy that is confirmed takes the configuration's place, by its name and behind a link.
    let file = source.file.iter().cloned();
    for path in file
        .clone()
        .chain(file.flat_map(|path| path.canonicalize()))
    {
        let directory = path.parent().map(Path::to_path_buf);
        let directory = directory.filter(|directory| *directory != Path::new(""));
        places.push(directory.unwrap_or_else(|| ".".into()));
    }
    Privilege {
        dropped: drop_privileges(kept, &places),
        watcher: watcher.ok(),
    }
}

/// Reloads when asked to, until told to end; answers whether the filter is to go as well.
async fn obey(signals: &mut Signals, daemon: &Arc<Daemon>) -> bool {
    loop {
        tokio::select! {
            _ = signals.interrupt.recv() => return true,
            _ = signals.terminate.recv() => return false,
            _ = signals.hangup.recv() => {
                let daemon = Arc::clone(daemon);
                tokio::spawn(async move {
                    info!("SIGHUP: reloading");
                    // The failure has been told of and counted.
                    let _ = daemon.reload(ReloadOptions::default()).await;
                });
            }
        }
    }
}

fn announce(candidate: &Candidate) {
    let names: Vec<&str> = candidate
        .facts
        .databases
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    let [v4, v6] = candidate.image.prefixes();
    info!(
        "GeoIP data: {}, {} days old, {v4} IPv4 and {v6} IPv6 prefixes",
        names.join(", "),
        now().saturating_sub(candidate.image.data_built()) / 86_400
    );
    if let Some(attribution) = candidate.attribution {
        info!("{attribution}");
    }
    for warning in &candidate.warnings {
        warn!("{warning}");
    }
    if candidate.facts.mode == Mode::Monitor {
        warn!("monitor mode: nothing is dropped");
    }
}
