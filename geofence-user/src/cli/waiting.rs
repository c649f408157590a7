//! Says on a terminal that a command is at work, from the end of its first second until it writes an answer.
//!
//! Nothing is shown where standard error is no terminal. A command that writes to standard error itself ends it before.

use std::io::{self, IsTerminal as _, Write, stderr};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// What takes less needs no word.
const SILENT: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(100);

/// What is shown now.
static SHOWN: Mutex<Option<Shown>> = Mutex::new(None);

struct Shown {
    bar: ProgressBar,
    // Its end ends the thread.
    ended: Sender<()>,
    thread: JoinHandle<()>,
}

impl Shown {
    fn begin(what: &str) -> Self {
        let style = ProgressStyle::with_template("{spinner} {msg}, {elapsed}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let bar = bar.with_style(style).with_message(what.to_owned());
        let (ended, end) = channel();
        let shown = bar.clone();
        let thread = thread::spawn(move || {
            if end.recv_timeout(SILENT) == Err(RecvTimeoutError::Timeout) {
                shown.set_draw_target(ProgressDrawTarget::stderr());
                shown.enable_steady_tick(TICK);
            }
        });
        Self { bar, ended, thread }
    }

    fn end(self) {
        drop(self.ended);
        // It cannot panic, and what it did is undone next.
        let _ = self.thread.join();
        self.bar.finish_and_clear();
    }
}

fn shown() -> std::sync::MutexGuard<'static, Option<Shown>> {
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says what the command does now, if it is shown at all.
pub(super) fn say(what: String) {
    if let Some(shown) = &*shown() {
        shown.bar.set_message(what);
    }
}

/// Shows it no longer, so that something else can be written.
pub(super) fn end() {
    if let Some(shown) = shown().take() {
        shown.end();
    }
}

/// The output of a command that may take a while.
pub(super) struct Waiting<W: Write>(W);

impl<W: Write> Waiting<W> {
    /// Begins to wait for a command of this name; without one, nothing is shown.
    pub(super) fn for_command(name: Option<&str>, out: W) -> Self {
        if let Some(name) = name
            && stderr().is_terminal()
        {
            *shown() = Some(Shown::begin(&format!("geofence {name} is at work")));
        }
        Self(out)
    }
}

impl<W: Write> Write for Waiting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        end();
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<W: Write> Drop for Waiting<W> {
    fn drop(&mut self) {
        end();
    }
}
