//! The program under test, running inside a namespace as it would on a machine of its own.
//!
//! What it writes is collected as it comes, so waiting for a line never blocks the program and every failure here
//! can show all that the program said. A daemon that goes out of scope is killed and reaped.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::time::ClockId;
use nix::unistd::Pid;

use crate::http;
use crate::namespace::Namespace;
use crate::wait::poll;

/// Names the geofence binary to test, in place of the one next to the tests.
pub const BINARY: &str = "GEOFENCE_BINARY";

/// How long what a program wrote may still be on its way once the program has ended.
const PIPE_PATIENCE: Duration = Duration::from_secs(5);

/// The geofence binary: the one named in the environment, else the one built in the same profile as this test.
pub fn binary() -> Result<PathBuf> {
    let path = match std::env::var_os(BINARY) {
        Some(path) => PathBuf::from(path),
        None => {
            let own = std::env::current_exe().context("finding this test's own file")?;
            let folder = own
                .parent()
                .context("this test's own file is in no folder")?;
            // Test executables are in target/PROFILE/deps, programs one folder up.
            let above = folder
                .parent()
                .filter(|_| folder.file_name() == Some(OsStr::new("deps")));
            above.unwrap_or(folder).join("geofence")
        }
    };
    if !path.is_file() {
        let path = path.display();
        bail!(
            "no geofence at {path}: build it with `cargo xtask build`, or name another in {BINARY}"
        );
    }
    Ok(path)
}

/// Prepares `geofence` to run inside a namespace: add arguments, then run it or give it to [`Daemon::spawn`].
pub fn geofence(namespace: &Namespace) -> Result<Command> {
    Ok(namespace.command(binary()?))
}

/// How a program ended and all it wrote.
#[derive(Clone, Debug)]
pub struct Ended {
    /// How it ended; programs killed by a signal have no exit code.
    pub status: ExitStatus,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
}

/// For how long each thread of a program has waited for a core up to now.
#[derive(Clone, Debug, Default)]
pub struct Waited(BTreeMap<OsString, Duration>);

impl Waited {
    /// The longest that one thread has waited since `earlier`: what a busy machine adds to the time of an action.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Duration {
        let waits = self.0.iter().map(|(thread, waited)| {
            let before = earlier.0.get(thread).copied().unwrap_or_default();
            waited.saturating_sub(before)
        });
        waits.max().unwrap_or_default()
    }
}

/// A running program.
#[derive(Debug)]
pub struct Daemon {
    namespace: Namespace,
    child: Child,
    stdout: Collector,
    stderr: Collector,
}

impl Daemon {
    /// Starts `geofence run` with further arguments and environment variables.
    pub fn run(
        namespace: &Namespace,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        let mut command = geofence(namespace)?;
        command
            .arg("run")
            .args(arguments)
            .envs(environment.iter().copied());
        Self::spawn(namespace, command)
    }

    /// Starts any command prepared by [`Namespace::command`].
    ///
    /// The program gets SIGTERM when the calling thread ends.
    pub fn spawn(namespace: &Namespace, mut command: Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {command:?}"))?;
        let stdout = Collector::new(
            child
                .stdout
                .take()
                .context("the child has no standard output")?,
        );
        let stderr = Collector::new(
            child
                .stderr
                .take()
                .context("the child has no standard error")?,
        );
        Ok(Self {
            namespace: namespace.clone(),
            child,
            stdout,
            stderr,
        })
    }

    /// The process identifier of the program itself.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The memory that it holds, in bytes.
    pub fn resident(&self) -> Result<u64> {
        self.memory("VmRSS:")
    }

    /// The most that it has held so far.
    pub fn peak(&self) -> Result<u64> {
        self.memory("VmHWM:")
    }

    /// For how long it has run on a core up to now, all threads together. Other programs hardly change that.
    pub fn used(&self) -> Result<Duration> {
        let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(self.id().try_into()?))?;
        Ok(clock.now()?.into())
    }

    /// For how long its threads were ready to run while others ran instead: the sum, by thread.
    ///
    /// A kernel built without these counters answers with nothing.
    pub fn waited(&self) -> Result<Waited> {
        let mut threads = BTreeMap::new();
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.id()))? {
            let thread = thread?;
            // Time on a core, time waiting for one, and how often. A thread may end meanwhile.
            let facts = std::fs::read_to_string(thread.path().join("schedstat"));
            let facts = facts.unwrap_or_default();
            let waited = facts.split(' ').nth(1).and_then(|word| word.parse().ok());
            threads.insert(
                thread.file_name(),
                Duration::from_nanos(waited.unwrap_or(0)),
            );
        }
        Ok(Waited(threads))
    }

    /// A figure of the kernel's status of it.
    fn memory(&self, name: &str) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        Ok(1024 * kib.with_context(|| format!("the kernel does not say {name}"))?)
    }

    /// Waits until a line containing `text` appears on standard error, and returns that line.
    pub fn wait_line(&mut self, text: &str, patience: Duration) -> Result<String> {
        let what = format!("a line with {text:?}");
        self.wait_for(&what, patience, |daemon| {
            let written = daemon.stderr.text();
            // Only whole lines: half a line could match and then go on.
            let whole = written.rfind('\n').map_or("", |end| &written[..end]);
            Ok(whole
                .lines()
                .find(|line| line.contains(text))
                .map(str::to_owned))
        })
    }

    /// Waits until `GET /healthz` at `address` is answered with 200.
    pub fn wait_healthy(&mut self, address: SocketAddr, patience: Duration) -> Result<()> {
        let mut last = "nothing".to_owned();
        let healthy = self.wait_for("a healthy /healthz", patience, |daemon| {
            match http::get(&daemon.namespace, address, "/healthz", &[]) {
                Ok(response) if response.status == 200 => return Ok(Some(())),
                Ok(response) => last = format!("{} {:?}", response.status, response.body),
                Err(error) => last = format!("{error:#}"),
            }
            Ok(None)
        });
        healthy.with_context(|| format!("its last answer was {last}"))
    }

    /// Waits until `look` finds something; fails at once when the program ends instead.
    pub fn wait_for<T>(
        &mut self,
        what: &str,
        patience: Duration,
        mut look: impl FnMut(&Self) -> Result<Option<T>>,
    ) -> Result<T> {
        let found = poll(patience, || {
            // Asked before looking: what it wrote last must still be seen.
            let ended = self
                .child
                .try_wait()
                .context("asking whether the program still runs")?;
            if let Some(status) = ended {
                self.stdout.finish();
                self.stderr.finish();
                if let Some(found) = look(self)? {
                    return Ok(Some(found));
                }
                bail!(
                    "the program ended ({status}) before {what}\n{}",
                    self.said()
                );
            }
            look(self)
        })?;
        found.with_context(|| format!("no sign of {what} within {patience:?}\n{}", self.said()))
    }

    /// Sends a signal, unless the program has ended.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        // A program that ended and was reaped has given its identifier back, perhaps to another one.
        if let Some(status) = self
            .child
            .try_wait()
            .context("asking whether the program still runs")?
        {
            bail!(
                "the program ended ({status}) before {signal}\n{}",
                self.said()
            );
        }
        let id =
            i32::try_from(self.child.id()).context("the process identifier is out of range")?;
        kill(Pid::from_raw(id), signal).with_context(|| format!("sending {signal}"))
    }

    /// Waits until the program has ended.
    pub fn wait(mut self, patience: Duration) -> Result<Ended> {
        let status = poll(patience, || {
            self.child
                .try_wait()
                .context("waiting for the program to end")
        })?;
        let status = status.with_context(|| {
            format!("the program still ran after {patience:?}\n{}", self.said())
        })?;
        self.stdout.finish();
        self.stderr.finish();
        Ok(Ended {
            status,
            stdout: self.stdout.text(),
            stderr: self.stderr.text(),
        })
    }

    /// Ends the program as nothing can prevent, and waits until it has.
    pub fn kill(mut self, patience: Duration) -> Result<Ended> {
        self.signal(Signal::SIGKILL)?;
        self.wait(patience)
    }

    /// Asks the program to end as Ctrl-C does and waits until it has.
    pub fn interrupt(mut self, patience: Duration) -> Result<Ended> {
        self.signal(Signal::SIGINT)?;
        self.wait(patience)
    }

    /// All of its standard output up to now.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// All of its standard error up to now.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    fn said(&self) -> String {
        format!(
            "--- its stdout\n{}--- its stderr\n{}---",
            self.stdout.text(),
            self.stderr.text()
        )
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail when it has ended already, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.stderr.finish();
        let said = self.stderr.text();
        // Whatever a test is about: no input and no request may make a daemon panic.
        assert!(
            thread::panicking() || !said.contains("panicked at"),
            "the program panicked:\n{said}"
        );
    }
}

/// What a pipe brought so far, read by a thread of its own.
#[derive(Debug)]
struct Collector {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Collector {
    fn new(mut pipe: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let reader = thread::spawn({
            let bytes = Arc::clone(&bytes);
            move || {
                let mut part = [0; 4096];
                loop {
                    match pipe.read(&mut part) {
                        Err(error) if error.kind() == ErrorKind::Interrupted => {}
                        // An error means what the end of the pipe means: nothing more will come.
                        Ok(0) | Err(_) => return,
                        Ok(length) => lock(&bytes).extend_from_slice(&part[..length]),
                    }
                }
            }
        });
        Self { bytes, reader }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&lock(&self.bytes)).into_owned()
    }

    /// Waits for the end of the pipe, which the program's end brings unless a child of its own kept the pipe open.
    fn finish(&self) {
        let _ = poll(PIPE_PATIENCE, || {
            Ok(self.reader.is_finished().then_some(()))
        });
    }
}

/// A reader that panicked leaves whole bytes behind, so a poisoned lock is as good as any.
fn lock(bytes: &Mutex<Vec<u8>>) -> MutexGuard<'_, Vec<u8>> {
    bytes.lock().unwrap_or_else(PoisonError::into_inner)
}
