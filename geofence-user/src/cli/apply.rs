//! `geofence apply`: puts a policy on trial, which ends by itself without a confirmation.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use jiff::SignedDuration;

use super::outcome::Outcome;
use super::request::{DaemonArgs, ForceArgs, in_part};
use crate::daemon::{ReloadOptions, WINDOW};
use crate::serve::control::Request;

/// Activate a policy, and return to the previous one unless `geofence confirm` follows in time
///
/// At the deadline the kernel returns to the previous policy, even if the daemon has died. `geofence confirm` replaces
/// the daemon's configuration with FILE, and keeps the previous text beside it. Exits with 0 when the policy is on
/// trial, and with 1 when it was refused.
#[derive(Args, Debug)]
pub struct Arguments {
    /// New configuration file, in the directory of the current one [default: the current file, read again]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// How long to wait for `geofence confirm`, up to an hour
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = window)]
    confirm_within: Duration,
    #[command(flatten)]
    force: ForceArgs,
    #[command(flatten)]
    daemon: DaemonArgs,
}

fn window(text: &str) -> Result<Duration, String> {
    let example = "write it as 60s or 5m";
    let parsed: SignedDuration = text
        .parse()
        .map_err(|error| format!("{error}; {example}"))?;
    match Duration::try_from(parsed) {
        Ok(window) if WINDOW.contains(&window) => Ok(window),
        _ => Err(format!("a trial lasts from 1s to 1h; {example}")),
    }
}

pub(super) fn apply(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let file = arguments.file.as_ref().map(|path| {
        // The name as it is given: relative paths start at its directory, not at that of a link's target.
        path.metadata()
            .and_then(|_| std::path::absolute(path))
            .with_context(|| format!("cannot read {}", path.display()))
    });
    let ReloadOptions {
        force,
        required_peers,
        ..
    } = arguments.daemon.reload_options(&arguments.force)?;
    let seconds = arguments.confirm_within.as_secs();
    let request = Request::Apply {
        file: file.transpose()?,
        text: None,
        seconds,
        force,
        required_peers,
    };
    let words = |result: &serde_json::Value| {
        let words = format!(
            "image {} is on trial: `geofence confirm` within {seconds} s keeps it, `geofence revert` ends the trial at \
             once",
            result["generation"]
        );
        Ok(words + &in_part(result))
    };
    let refused = "not applied, the active policy stays";
    arguments.daemon.request(&request, refused, words, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_has_a_unit_and_bounds() {
        assert_eq!(window("60s"), Ok(Duration::from_secs(60)));
        assert_eq!(window("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(window("1h"), Ok(Duration::from_secs(3600)));
        for wrong in ["60", "", "0s", "-5s", "61m", "soon", "1d"] {
            assert!(window(wrong).is_err(), "{wrong}");
        }
    }
}
