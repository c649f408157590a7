//! The log of `geofence run`: the journal of systemd if standard error leads there, and standard error otherwise, as
//! text or JSON.
//!
//! The journal is written to directly, because it takes each line of standard error for an entry of its own. Where its
//! socket cannot be reached, each line of standard error begins with its priority.

use std::fmt;
use std::io::{self, IsTerminal as _, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Args, ValueEnum};
use tracing::{Event, Level, Subscriber};
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::{LookupSpan, Registry};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::model::text::printable;

/// Whether the log goes to the journal's own socket.
static IS_JOURNAL: AtomicBool = AtomicBool::new(false);

/// How to log.
#[derive(Args, Clone, Debug, Default)]
pub struct LogArgs {
    /// Format of the log
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    log_format: Format,
    /// Least severe level to log [default: the value of RUST_LOG, or info]
    #[arg(long, value_name = "LEVEL", value_enum)]
    log_level: Option<Severity>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line for each event; in the journal, with its priority
    #[default]
    Text,
    /// One JSON object for each event
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Severity {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Severity {
    fn level(self) -> Level {
        match self {
            Self::Error => Level::ERROR,
            Self::Warn => Level::WARN,
            Self::Info => Level::INFO,
            Self::Debug => Level::DEBUG,
            Self::Trace => Level::TRACE,
        }
    }
}

impl LogArgs {
    /// Starts logging.
    pub fn start(&self) {
        let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
        let layer: Box<dyn Layer<Registry> + Send + Sync> = match self.log_format {
            Format::Json => layer
                .with_writer(|| Printable)
                .json()
                .flatten_event(true)
                .boxed(),
            Format::Text
                if is_journal()
                    && let Ok(journal) = tracing_journald::layer() =>
            {
                IS_JOURNAL.store(true, Ordering::Relaxed);
                journal.with_priority_mappings(priorities()).boxed()
            }
            Format::Text => {
                // What comes from files or the network must not steer the terminal that shows it.
                let layer = layer.fmt_fields(debug_fn(|writer, field, value| {
                    let value = printable(&format!("{value:?}"));
                    match field.name() {
                        "message" => write!(writer, "{value}"),
                        // The message says the same.
                        name if name.starts_with("event.") => Ok(()),
                        name => write!(writer, " {name}={value}"),
                    }
                }));
                if is_journal() {
                    layer.event_format(JournalLines).boxed()
                } else {
                    layer
                        .with_ansi(std::io::stderr().is_terminal())
                        .with_target(false)
                        .boxed()
                }
            }
        };
        let environment = std::env::var("RUST_LOG").ok();
        let filter = filter(self.log_level, environment.as_deref());
        let _ = tracing_subscriber::registry()
            .with(layer.with_filter(filter))
            .try_init();
    }
}

/// The priorities of the journal, which are those of `prefixed`: what is normal is information, not a notice.
fn priorities() -> PriorityMappings {
    PriorityMappings {
        info: Priority::Informational,
        debug: Priority::Debug,
        ..PriorityMappings::new()
    }
}

/// Standard error, by lines of JSON, in which letters that steer a terminal are escaped.
struct Printable;

impl Write for Printable {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = printable(&String::from_utf8_lossy(line));
        io::stderr().write_all(text.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// The targets that are logged. An option is a level for all of them. The environment may name a level, or levels by
/// target such as `info,geofence_user=debug`. The default is info.
fn filter(option: Option<Severity>, environment: Option<&str>) -> Targets {
    if let Some(severity) = option {
        return Targets::new().with_default(severity.level());
    }
    environment
        .filter(|text| !text.trim().is_empty())
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| Targets::new().with_default(Level::INFO))
}

/// Writes the error that ends the program: one entry of the journal, or lines of standard error.
pub fn error(text: &str) {
    if IS_JOURNAL.load(Ordering::Relaxed) {
        tracing::error!("{text}");
        return;
    }
    let text = if is_journal() {
        prefixed(Level::ERROR, text)
    } else {
        text.to_owned()
    };
    // If standard error is closed, only the exit code is left.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Whether standard error is the socket that the service manager connected with the journal (systemd.exec(5)).
fn is_journal() -> bool {
    let Ok(named) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    is_named(&named, std::io::stderr())
}

/// Whether `DEVICE:INODE` names this file.
fn is_named(named: &str, file: impl AsFd) -> bool {
    rustix::fs::fstat(file).is_ok_and(|stat| named == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// Lines as the journal reads them: with a priority in front (sd-daemon(3)), and without what it records itself.
struct JournalLines;

impl<S, N> FormatEvent<S, N> for JournalLines
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut text = String::new();
        context.format_fields(Writer::new(&mut text), event)?;
        writeln!(writer, "{}", prefixed(*event.metadata().level(), &text))
    }
}

/// A text with the priority of syslog(3) in front of every line: the journal stores each as an entry of its own.
fn prefixed(level: Level, text: &str) -> String {
    let priority = match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    };
    let lines = text.lines().map(|line| format!("<{priority}>{line}"));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::MetadataExt as _;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn the_log_filter_is_info_unless_an_option_or_the_environment_names_another() {
        for (option, environment, target, level, is_logged) in [
            (None, None, "hyper", Level::INFO, true),
            (None, None, "hyper", Level::DEBUG, false),
            (None, Some(""), "hyper", Level::DEBUG, false),
            (None, Some("warn"), "hyper", Level::INFO, false),
            (
                None,
                Some("warn,geofence_user=debug"),
                "geofence_user::daemon",
                Level::DEBUG,
                true,
            ),
            (
                None,
                Some("warn,geofence_user=debug"),
                "hyper",
                Level::DEBUG,
                false,
            ),
            (None, Some("geofence_user=loud"), "hyper", Level::INFO, true),
            (Some(Severity::Debug), None, "hyper", Level::DEBUG, true),
            (
                Some(Severity::Error),
                Some("debug"),
                "hyper",
                Level::WARN,
                false,
            ),
        ] {
            let found = filter(option, environment).would_enable(target, &level);
            assert_eq!(
                found, is_logged,
                "{option:?} {environment:?} {target} {level}"
            );
        }
    }

    #[test]
    fn only_the_file_that_the_service_manager_names_is_the_journal() {
        let file = tempfile::tempfile().unwrap();
        let facts = file.metadata().unwrap();
        assert!(is_named(&format!("{}:{}", facts.dev(), facts.ino()), &file));
        for named in ["", "8", &format!("{}:{}", facts.dev(), facts.ino() + 1)] {
            assert!(!is_named(named, &file), "{named:?}");
        }
    }

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_of_the_journal_has_the_priority_of_its_event() {
        let written = Written::default();
        let writer = written.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(move || writer.clone())
            .event_format(JournalLines);
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            tracing::error!("one\ntwo");
            tracing::warn!("three");
            tracing::info!("four");
            tracing::debug!("five");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text, "<3>one\n<3>two\n<4>three\n<6>four\n<7>five\n");
    }
}
