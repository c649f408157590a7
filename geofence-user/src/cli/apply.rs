//! `geofence apply`: a policy on trial, which goes by itself unless somebody confirms that it may stay.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use jiff::SignedDuration;
use serde_json::json;

use super::Outcome;
use super::options::InstanceArgs;
use super::reload::{needed, refused};
use crate::serve::control::{Answer, Request, ask};

/// How long a trial may last: long enough for a telephone call, and no way to forget one.
const WINDOW_MAX: Duration = Duration::from_secs(60 * 60);

/// Put a policy in place and go back by itself unless `geofence confirm` comes in time
///
/// The kernel goes back, also when the daemon has died meanwhile. FILE takes the place of the daemon's configuration
/// when it is confirmed; the text of before is kept beside it. Exits with 0 when the policy is on trial, and with 1
/// when it was refused.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The new configuration, in the directory of the present one; without it, the present one as it is now
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// How long to wait for `geofence confirm`, up to an hour
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = window)]
    confirm_within: Duration,
    /// Take data that the guard does not believe, and a policy that cuts off this machine's SSH sessions, gateways,
    /// resolvers or metadata service
    #[arg(long)]
    force: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    instance: InstanceArgs,
}

fn window(text: &str) -> Result<Duration, String> {
    let example = "write it as 60s or 5m";
    let parsed: SignedDuration = text
        .parse()
        .map_err(|error| format!("{error}; {example}"))?;
    match Duration::try_from(parsed) {
        Ok(window) if window >= Duration::from_secs(1) && window <= WINDOW_MAX => Ok(window),
        _ => Err(format!("a trial lasts from 1s to 1h; {example}")),
    }
}

pub(super) fn apply(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let instance = arguments.instance.instance()?;
    let file = arguments.file.as_ref();
    let file = file.map(|path| {
        path.canonicalize()
            .with_context(|| format!("cannot read {}", path.display()))
    });
    let seconds = arguments.confirm_within.as_secs();
    let request = Request::Apply {
        file: file.transpose()?,
        seconds,
        force: arguments.force,
        needed: needed(&instance)?,
    };
    match ask(&instance, &request)? {
        Answer::Done(result) => {
            let Some(generation) = result["generation"].as_u64() else {
                bail!("the daemon's answer has no generation: {result}");
            };
            if arguments.json {
                let object = json!({ "ok": true, "generation": generation, "seconds": seconds });
                writeln!(out, "{object}")?;
            } else {
                writeln!(
                    out,
                    "image {generation} is on trial: `geofence confirm` within {seconds} s keeps it, `geofence revert` \
                     ends it at once"
                )?;
            }
            Ok(Outcome::Yes)
        }
        Answer::Refused { cause, error } => {
            let what = "not applied, the policy in use stays";
            refused(arguments.json, what, &cause, &error, out)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_has_a_unit_and_bounds() {
        assert_eq!(window("60s"), Ok(Duration::from_secs(60)));
        assert_eq!(window("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(window("1h"), Ok(WINDOW_MAX));
        for wrong in ["60", "", "0s", "-5s", "61m", "soon", "1d"] {
            assert!(window(wrong).is_err(), "{wrong}");
        }
    }
}
