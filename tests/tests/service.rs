//! geofence as a service: what the units allow, what the service manager is given, and what a log collector reads.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use geofence_tests::daemon::{Daemon, binary, geofence};
use geofence_tests::edge::{LISTEN, PATIENCE};
use geofence_tests::require_root;
use geofence_tests::site::Site;
use geofence_tests::wait::poll;
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use serde_json::Value;

/// What `systemd-analyze security` may say of the daemon, in tenths. It runs as root, as programs that attach XDP do.
const EXPOSURE_MAX: &str = "24";

/// The units, in a directory of their own where they start a program that exists.
fn units() -> Result<(tempfile::TempDir, Vec<PathBuf>)> {
    let place = tempfile::tempdir()?;
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    let mut units = Vec::new();
    for entry in fs::read_dir(&deploy)? {
        let path = entry?.path();
        let name = path.file_name().context("a name")?;
        let is_unit = |end: &std::ffi::OsStr| end == "service" || end == "timer";
        if path.extension().is_some_and(is_unit) {
            let text = fs::read_to_string(&path)?;
            let program = binary()?.display().to_string();
            let unit = place.path().join(name);
            fs::write(&unit, text.replace("/usr/sbin/geofence", &program))?;
            units.push(unit);
        }
    }
    ensure!(units.len() >= 6, "{units:?}");
    Ok((place, units))
}

fn analyze() -> Option<Command> {
    let found = Command::new("systemd-analyze").arg("--version").output();
    if found.is_err() {
        eprintln!("SKIPPED: systemd-analyze is not installed; `cargo xtask setup` installs it");
        return None;
    }
    Some(Command::new("systemd-analyze"))
}

#[test]
fn systemd_accepts_every_unit_without_a_warning() -> Result<()> {
    let Some(mut analyze) = analyze() else {
        return Ok(());
    };
    let (_place, units) = units()?;
    // Manual pages are in the package.
    let output = analyze.args(["verify", "--man=no"]).args(&units).output()?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(output.status.success() && said.is_empty(), "{said}");
    Ok(())
}

/// What makes the service manager keep the daemon running, or give it up.
#[test]
fn units_never_give_up_except_for_a_configuration_without_a_last_good_image() {
    for unit in [
        include_str!("../../deploy/geofence.service"),
        include_str!("../../deploy/geofence@.service"),
    ] {
        let values = |key: &str| -> Vec<&str> {
            let lines = unit.lines().filter_map(|line| line.split_once('='));
            let of_key = lines.filter(|(name, _)| *name == key);
            of_key.map(|(_, value)| value).collect()
        };
        assert_eq!(values("StartLimitIntervalSec"), ["0"]);
        assert_eq!(values("Restart"), ["always"]);
        assert_eq!(values("RestartPreventExitStatus"), ["78"]);
        assert_eq!(values("WatchdogSec"), ["30"]);
        assert_eq!(values("OOMScoreAdjust"), ["-500"]);
        // What ends the job of a start for good, or counts starts.
        for key in [
            "StartLimitBurst",
            "StartLimitAction",
            "Requisite",
            "BindsTo",
        ] {
            assert_eq!(values(key), [""; 0], "{key}");
        }
        let ends = unit.lines().filter(|line| line.starts_with("Assert"));
        assert_eq!(ends.count(), 0, "an assertion ends a start for good");
    }
}

#[test]
fn exposure_of_every_service_is_bounded() -> Result<()> {
    let (_place, units) = units()?;
    for unit in units
        .iter()
        .filter(|unit| unit.extension().is_some_and(|end| end == "service"))
    {
        let Some(mut analyze) = analyze() else {
            return Ok(());
        };
        analyze.args(["security", "--offline=true", "--threshold", EXPOSURE_MAX]);
        let output = analyze.arg(unit).output()?;
        let said = String::from_utf8(output.stdout)?;
        ensure!(output.status.success(), "{}\n{said}", unit.display());
    }
    Ok(())
}

/// The socket of a service manager, as far as a test needs one: it is read all the time, as systemd reads its own.
struct Manager {
    messages: Receiver<String>,
    path: PathBuf,
}

impl Manager {
    fn new(site: &Site) -> Result<Self> {
        let path = site.path("notify");
        let socket = UnixDatagram::bind(&path)?;
        let (sender, messages) = channel();
        thread::spawn(move || {
            let mut message = [0; 4096];
            while let Ok(length) = socket.recv(&mut message) {
                let text = String::from_utf8_lossy(&message[..length]).into_owned();
                if sender.send(text).is_err() {
                    return;
                }
            }
        });
        Ok(Self { messages, path })
    }

    /// Waits for a message that contains this, and returns it.
    fn wait(&self, text: &str) -> Result<String> {
        let begun = Instant::now();
        let mut seen = Vec::new();
        while let Ok(message) = self
            .messages
            .recv_timeout(PATIENCE.saturating_sub(begun.elapsed()))
        {
            if message.contains(text) {
                return Ok(message);
            }
            seen.push(message);
        }
        anyhow::bail!("no message with {text:?}, but {seen:?}")
    }

    /// The messages that have arrived.
    fn arrived(&self) -> Vec<String> {
        let quiet = Duration::from_millis(100);
        std::iter::from_fn(|| self.messages.recv_timeout(quiet).ok()).collect()
    }
}

fn run(site: &Site, more: &[&str], environment: &[(&str, &str)]) -> Result<Daemon> {
    let config = site.word("geofence.toml")?;
    let interface = site.edge.interface();
    let words = [
        "--config",
        &config,
        "--listen",
        LISTEN,
        "--interface",
        interface,
    ];
    let mut daemon = Daemon::run(&site.edge.pair.edge, &[&words, more].concat(), environment)?;
    daemon.wait_healthy(LISTEN.parse()?, PATIENCE)?;
    Ok(daemon)
}

#[test]
fn service_manager_sees_state_reloads_and_the_end() -> Result<()> {
    require_root!();
    let site = Site::new("block = [\"RU\"]\n")?;
    let manager = Manager::new(&site)?;
    let socket = manager.path.display().to_string();
    let environment = [
        ("NOTIFY_SOCKET", socket.as_str()),
        ("WATCHDOG_USEC", "30000000"),
    ];
    let mut daemon = run(&site, &[], &environment)?;
    manager.wait("READY=1")?;
    manager.wait("WATCHDOG=1")?;
    let state = manager.wait("STATUS=enforcing, 1 interface")?;
    ensure!(!state.contains("NOT PROTECTED"), "{state}");

    site.configure("block = [\"RU\"]\nmode = \"monitor\"\n")?;
    site.done(&["reload"])?;
    let reloading = manager.wait("RELOADING=1")?;
    let at = reloading
        .lines()
        .find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
    ensure!(
        at.is_some_and(|at| at.parse::<u64>().is_ok()),
        "{reloading}"
    );
    // The state is already that of the new policy when the reload returns.
    let reloaded = manager.wait("READY=1")?;
    ensure!(
        reloaded.contains("STATUS=monitoring, nothing is dropped, 1 interface"),
        "{reloaded}"
    );

    daemon.signal(Signal::SIGTERM)?;
    manager.wait("STOPPING=1")?;
    daemon.wait(PATIENCE)?;
    Ok(())
}

/// Stops the main thread of a daemon, and no other, until it goes out of scope: its loop stands still.
struct Wedge(Pid);

impl Wedge {
    fn new(daemon: &Daemon) -> Result<Self> {
        let thread = Pid::from_raw(i32::try_from(daemon.id())?);
        ptrace::seize(thread, ptrace::Options::empty())?;
        let wedge = Self(thread);
        ptrace::interrupt(thread)?;
        // Its stop is reported to the tracer once.
        waitpid(thread, Some(WaitPidFlag::__WALL))?;
        Ok(wedge)
    }
}

impl Drop for Wedge {
    fn drop(&mut self) {
        // It fails if the daemon has ended.
        let _ = ptrace::detach(self.0, None);
    }
}

#[test]
fn wedged_loop_is_noticed_by_the_service_manager_and_by_liveness_probes() -> Result<()> {
    require_root!();
    let site = Site::new("block = [\"RU\"]\n")?;
    let manager = Manager::new(&site)?;
    let socket = manager.path.display().to_string();
    let environment = [
        ("NOTIFY_SOCKET", socket.as_str()),
        ("WATCHDOG_USEC", "30000000"),
    ];
    let mut daemon = run(&site, &[], &environment)?;
    manager.wait("WATCHDOG=1")?;
    let is_alive = || anyhow::Ok(site.edge.get("/livez")?.status == 200);
    ensure!(is_alive()?);

    // The whole process stands still: there is no answer and no sign.
    daemon.signal(Signal::SIGSTOP)?;
    manager.arrived();
    ensure!(!answers_soon(&site)?, "a stopped process answers");
    ensure!(manager.arrived().is_empty());
    daemon.signal(Signal::SIGCONT)?;
    manager.wait("WATCHDOG=1")?;
    poll(PATIENCE, || Ok(answers_soon(&site)?.then_some(())))?.context("it does not answer")?;

    // The loop alone does: that is said, the sign is missing, and the filter filters.
    let wedge = Wedge::new(&daemon)?;
    manager.arrived();
    let wedged = poll(PATIENCE, || {
        let answer = site.edge.get("/livez")?;
        Ok((answer.status == 503).then_some(answer))
    })?;
    let wedged = wedged.context("/livez does not tell")?;
    ensure!(wedged.body.contains("\"wedged\""), "{wedged:?}");
    for path in ["/-/healthy", "/healthz", "/readyz", "/metrics"] {
        let answer = site.edge.get(path)?;
        ensure!(answer.status == 503, "{path}: {answer:?}");
    }
    let signs = manager.arrived();
    ensure!(
        !signs.iter().any(|one| one.contains("WATCHDOG=1")),
        "{signs:?}"
    );
    ensure!(site.passes()? == [false, true]);
    drop(wedge);
    manager.wait("WATCHDOG=1")?;
    poll(PATIENCE, || Ok(is_alive()?.then_some(())))?.context("it does not recover")?;
    ensure!(site.edge.get("/healthz")?.status == 200);
    daemon.interrupt(PATIENCE)?;
    Ok(())
}

/// Whether `/livez` is answered within a second.
fn answers_soon(site: &Site) -> Result<bool> {
    site.edge.pair.edge.enter(|| {
        let mut stream = TcpStream::connect_timeout(&LISTEN.parse()?, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        write!(stream, "GET /livez HTTP/1.1\r\nhost: {LISTEN}\r\n\r\n")?;
        Ok(stream.read(&mut [0; 16]).is_ok_and(|length| length > 0))
    })?
}

#[test]
fn log_is_json_and_as_severe_as_asked() -> Result<()> {
    require_root!();
    let site = Site::new("block = [\"RU\"]\n")?;
    let daemon = run(
        &site,
        &["--log-format", "json", "--log-level", "debug"],
        &[("RUST_LOG", "error")],
    )?;
    let log = daemon.interrupt(PATIENCE)?.stderr;
    let events: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
        .collect::<Result<_>>()?;
    for event in &events {
        for key in ["timestamp", "level", "message", "target"] {
            ensure!(event[key].is_string(), "no {key} in {event}");
        }
    }
    let ready = events.iter().find(|event| {
        let message = event["message"].as_str().unwrap_or_default();
        message.starts_with("ready: ")
    });
    ensure!(ready.is_some_and(|event| event["level"] == "INFO"), "{log}");

    let daemon = run(&site, &["--log-level", "error"], &[])?;
    let log = daemon.interrupt(PATIENCE)?.stderr;
    ensure!(log.is_empty(), "{log}");
    Ok(())
}

#[test]
fn daemon_works_with_what_the_unit_allows() -> Result<()> {
    require_root!();
    let unit = include_str!("../../deploy/geofence.service");
    let setting = |key: &str| {
        let line = unit.lines().find_map(|line| line.strip_prefix(key));
        line.with_context(|| format!("the unit has no {key}"))
    };
    let bounding = setting("CapabilityBoundingSet=CAP_")?.to_lowercase();
    let bounding = format!("-all,+{}", bounding.replace(" cap_", ",+"));
    let proc = setting("ProtectProc=")?;
    let site = Site::new("block = [\"RU\"]\n")?;
    let config = site.word("geofence.toml")?;
    let pins = setting("ReadWritePaths=-")?
        .split(' ')
        .next()
        .context("no path")?;
    // As the service manager does: a view of /proc of its own, no capability beyond the set, and nothing to write to
    // below /sys but what the unit names. ProtectKernelTunables= makes /sys/fs/bpf itself read-only.
    let script = format!(
        "mkdir -p -m 700 {pins} && mount --bind {pins} {pins} && mount -o remount,bind,ro /sys/fs/bpf && \
         mount -t proc -o hidepid={proc} proc /proc && exec setpriv --bounding-set {bounding} --no-new-privs \"$@\""
    );
    let namespace = &site.edge.pair.edge;
    let mut command = namespace.command("unshare");
    command
        .args([
            "--mount",
            "--propagation",
            "slave",
            "sh",
            "-c",
            &script,
            "start",
        ])
        .arg(binary()?)
        .args(["run", "--strict", "--config", &config, "--listen", LISTEN])
        .args(["--interface", site.edge.interface()]);
    command.envs(
        geofence(namespace)?
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    let mut daemon = Daemon::spawn(namespace, command)?;
    daemon.wait_healthy(LISTEN.parse()?, PATIENCE)?;
    assert_eq!(site.passes()?, [false, true]);
    site.configure("block = [\"DE\"]\n")?;
    site.done(&["reload"])?;
    assert_eq!(site.passes()?, [true, false]);
    let status = site.edge.ask(&["status", "--json"])?.json()?;
    let privilege = &status["privilege"];
    assert_eq!(privilege["capabilities"], serde_json::json!([]));
    ensure!(privilege["session_watcher"].is_u64(), "{privilege}");
    ensure!(
        !daemon.stderr().contains("SSH session"),
        "the helper does not see sessions:\n{}",
        daemon.stderr()
    );
    Ok(())
}
