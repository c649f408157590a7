//! `geofence top`: what passes and is dropped now, by country, reason, interface, tenant and list, on a whole terminal.

mod app;
mod draw;
mod explain;
mod rows;
mod sample;

use std::io::{IsTerminal as _, Write, stdout};
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Args;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};

use self::app::{App, Next};
use self::rows::Rates;
use self::sample::Sample;
use super::outcome::Outcome;
use super::request::DaemonArgs;
use crate::model::duration;
use crate::os::instance::Instance;
use crate::serve::control::{Answer, Request, ask};

/// Show what passes and is dropped now: rates by country, reason, interface, tenant and list
///
/// Tab and the keys 1 to 5 choose a view, s sorts by another column, / filters by name, Enter explains the selected
/// row, and q ends. `--once` prints one measurement as text, and `--json` as one JSON object.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Time between two measurements, such as 500ms or 2s
    #[arg(long, default_value = "1s", value_name = "DURATION", value_parser = read)]
    interval: Duration,
    /// Print one measurement and end
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    daemon: DaemonArgs,
}

impl Arguments {
    /// Whether it prints one measurement.
    pub(super) const fn is_once(&self) -> bool {
        self.once || self.daemon.json
    }
}

fn read(text: &str) -> Result<Duration, String> {
    let shortest = Duration::from_millis(100);
    let read = duration::parse(text).filter(|one| *one >= shortest);
    read.ok_or_else(|| "give a duration of at least 100ms, such as 500ms or 2s".to_owned())
}

pub(super) fn top(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let instance = arguments.daemon.instance.instance()?;
    let first = take(&instance)?;
    if arguments.is_once() {
        std::thread::sleep(arguments.interval);
        let second = take(&instance)?;
        let rates = Rates::between(&first, &second);
        if arguments.daemon.json {
            writeln!(out, "{}", rates.to_json(&second))?;
        } else {
            out.write_all(rates.text(&second).as_bytes())?;
        }
        return Ok(Outcome::Yes);
    }
    if !stdout().is_terminal() {
        bail!(
            "`geofence top` needs a terminal; --once prints one measurement, and --json prints it as JSON"
        );
    }
    // It restores the terminal on a panic as well.
    let mut terminal = ratatui::try_init()?;
    let mut app = App::new(instance.name(), first);
    let ended = follow(&mut terminal, &mut app, &instance, arguments.interval);
    ratatui::try_restore()?;
    ended.map(|()| Outcome::Yes)
}

/// Measures and draws until a key ends it.
fn follow(
    terminal: &mut DefaultTerminal,
    app: &mut App,
    instance: &Instance,
    interval: Duration,
) -> anyhow::Result<()> {
    let mut due = Instant::now() + interval;
    loop {
        terminal.draw(|frame| draw::draw(frame, app))?;
        if event::poll(due.saturating_duration_since(Instant::now()))? {
            if let Event::Key(key) = event::read()?
                && key.kind != KeyEventKind::Release
                && app.press(key) == Next::End
            {
                return Ok(());
            }
            continue;
        }
        match take(instance) {
            Ok(sample) => app.measure(sample),
            // A daemon that restarts answers again.
            Err(error) => app.fail(&error),
        }
        due = Instant::now() + interval;
    }
}

fn take(instance: &Instance) -> anyhow::Result<Sample> {
    match ask(instance, &Request::Counters)? {
        Answer::Done(answer) => Ok(Sample::read(&answer)),
        Answer::Refused { error, .. } => bail!("{error}"),
    }
}
