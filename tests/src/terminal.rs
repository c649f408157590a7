//! A terminal: a program on it, the keys that it gets, what its screen shows, and the terminal's settings.
//!
//! The screen is kept by a parser of terminal sequences, because a program that draws sends what has changed only.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::num::NonZeroU16;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::fcntl::OFlag;
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::termios::{Termios, tcgetattr};
use vt100::{Parser, Screen};

use crate::wait::poll;

const ROWS: NonZeroU16 = NonZeroU16::MIN.saturating_add(29);
const COLUMNS: NonZeroU16 = NonZeroU16::MIN.saturating_add(109);

/// A terminal of 30 rows and 110 columns.
pub struct Terminal {
    /// Where keys are pressed, and where the program's output comes out.
    keyboard: Arc<PtyMaster>,
    /// What the program sees as its terminal. As long as it is open, the settings can be read.
    line: File,
    parser: Arc<Mutex<Parser>>,
    program: Option<Child>,
}

impl Terminal {
    /// Makes a terminal with the system's settings.
    pub fn new() -> Result<Self> {
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let keyboard = posix_openpt(flags).context("making a terminal")?;
        grantpt(&keyboard)?;
        unlockpt(&keyboard)?;
        let line = File::options()
            .read(true)
            .write(true)
            .custom_flags(OFlag::O_NOCTTY.bits())
            .open(ptsname_r(&keyboard)?)?;
        let sized = Command::new("stty")
            .args(["rows", &ROWS.to_string(), "cols", &COLUMNS.to_string()])
            .stdin(line.try_clone()?)
            .status()?;
        ensure!(sized.success(), "stty: {sized}");
        let keyboard = Arc::new(keyboard);
        let parser = Arc::new(Mutex::new(Parser::new(ROWS, COLUMNS, 0)));
        let (output, screen) = (Arc::clone(&keyboard), Arc::clone(&parser));
        // It ends when the line is closed.
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = (&*output).read(&mut bytes) {
                let mut screen = screen.lock().unwrap_or_else(PoisonError::into_inner);
                screen.process(&bytes[..length]);
            }
        });
        Ok(Self {
            keyboard,
            line,
            parser,
            program: None,
        })
    }

    /// Starts a program on it.
    pub fn run(&mut self, mut command: Command) -> Result<()> {
        let child = command
            .stdin(self.line.try_clone()?)
            .stdout(self.line.try_clone()?)
            .stderr(self.line.try_clone()?)
            .env("TERM", "xterm-256color")
            .spawn()?;
        self.program = Some(child);
        Ok(())
    }

    /// Presses keys.
    pub fn press(&self, keys: &str) -> Result<()> {
        Ok((&*self.keyboard).write_all(keys.as_bytes())?)
    }

    /// What the screen shows now.
    #[must_use]
    pub fn screen(&self) -> Screen {
        let parser = self.parser.lock().unwrap_or_else(PoisonError::into_inner);
        parser.screen().clone()
    }

    /// Waits until the screen is as wanted.
    pub fn wait_for(
        &self,
        what: &str,
        patience: Duration,
        is_shown: impl Fn(&Screen) -> bool,
    ) -> Result<()> {
        let shown = poll(patience, || Ok(is_shown(&self.screen()).then_some(())))?;
        shown.with_context(|| format!("no {what} on the screen:\n{}", self.screen().contents()))
    }

    /// The terminal's settings: echo, line editing and the like.
    pub fn settings(&self) -> Result<Termios> {
        Ok(tcgetattr(&self.line)?)
    }

    /// Waits until the program ends.
    pub fn wait(&mut self, patience: Duration) -> Result<ExitStatus> {
        let program = self.program.as_mut().context("no program was started")?;
        let ended = poll(patience, || Ok(program.try_wait()?))?;
        ended.with_context(|| format!("the program goes on:\n{}", self.screen().contents()))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(program) = &mut self.program {
            // One that has ended already cannot be killed.
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}
