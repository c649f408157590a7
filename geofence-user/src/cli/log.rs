//! The log of `geofence run`, on standard error.

use std::io::IsTerminal as _;

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::model::text::printable;

/// Starts logging at the levels that `RUST_LOG` names.
pub(super) fn start() {
    let format = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .fmt_fields(debug_fn(|writer, field, value| {
            let value = printable(&format!("{value:?}"));
            match field.name() {
                "message" => write!(writer, "{value}"),
                name => write!(writer, " {name}={value}"),
            }
        }));
    let filter = filter(std::env::var("RUST_LOG").ok().as_deref());
    let _ = tracing_subscriber::registry()
        .with(format.with_filter(filter))
        .try_init();
}

/// Reads a level, or levels by target such as `info,geofence_user=debug`. The default is info.
fn filter(wanted: Option<&str>) -> Targets {
    wanted
        .filter(|text| !text.trim().is_empty())
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| Targets::new().with_default(Level::INFO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_filter_is_info_unless_the_environment_names_another() {
        for (wanted, target, level, is_logged) in [
            (None, "hyper", Level::INFO, true),
            (None, "hyper", Level::DEBUG, false),
            (Some(""), "hyper", Level::DEBUG, false),
            (Some("warn"), "hyper", Level::INFO, false),
            (
                Some("warn,geofence_user=debug"),
                "geofence_user::daemon",
                Level::DEBUG,
                true,
            ),
            (
                Some("warn,geofence_user=debug"),
                "hyper",
                Level::DEBUG,
                false,
            ),
            (Some("geofence_user=loud"), "hyper", Level::INFO, true),
        ] {
            let found = filter(wanted).would_enable(target, &level);
            assert_eq!(found, is_logged, "{wanted:?} {target} {level}");
        }
    }
}
