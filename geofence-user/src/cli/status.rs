//! `geofence status`: where the filter is, by what image, and whether all is as it was asked for.

use std::fmt::Write as _;
use std::io::Write;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Value, json};

use super::Outcome;
use super::options::InstanceArgs;
use crate::kernel::{Pins, interfaces};
use crate::model::units::UnixSeconds;
use crate::os::instance::Instance;
use crate::os::privilege;
use crate::serve::control::{Answer, AskError, Request, ask};

/// Show where the filter is and how it is, with a daemon or without
///
/// Exits with 0 when a daemon runs and every interface is protected by what was asked for, and with 1 otherwise.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    instance: InstanceArgs,
}

pub(super) fn status(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let instance = arguments.instance.instance()?;
    let status = match ask(&instance, &Request::Status) {
        Ok(Answer::Done(status)) => status,
        Ok(Answer::Refused { error, .. }) => bail!("{error}"),
        Err(AskError::NotRunning { .. }) => without_daemon(&instance)?,
        Err(error) => return Err(error.into()),
    };
    if arguments.json {
        writeln!(out, "{status}")?;
    } else {
        out.write_all(text(&status).as_bytes())?;
    }
    let interfaces = status["interfaces"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let is_well = status["process"].is_u64()
        && status["reloads"]["trouble"].is_null()
        && interfaces.iter().all(|one| one["protected"] == true);
    Ok(if is_well { Outcome::Yes } else { Outcome::No })
}

/// What the kernel keeps of an instance that no daemon runs for.
fn without_daemon(instance: &Instance) -> anyhow::Result<Value> {
    let pins = Pins::of(instance);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let present = runtime.block_on(interfaces())?;
    let pinned = pins.indexes()?;
    let interfaces = pinned
        .into_iter()
        .map(|index| {
            let found = present.iter().find(|one| one.index == index);
            let is_protected = found.map_or(Ok(false), |one| pins.is_on(one))?;
            Ok(json!({
                "interface": found.map(|one| one.name.as_str()),
                "index": index,
                "mode": found.and_then(|one| one.mode),
                "protected": is_protected,
                "standing": if is_protected { "protected" } else { "gone" },
            }))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    Ok(json!({
        "instance": instance.name(),
        "process": null,
        "interfaces": interfaces,
    }))
}

fn text(status: &Value) -> String {
    let word = |value: &Value| match value.as_str() {
        Some(text) => text.to_owned(),
        None if value.is_null() => "-".to_owned(),
        None => value.to_string(),
    };
    let mut out = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a string cannot fail.
        _ = writeln!(out, "{name:<11}{value}");
    };
    line("instance", word(&status["instance"]));
    if status["process"].is_u64() {
        line(
            "daemon",
            format!(
                "process {}, version {}",
                word(&status["process"]),
                word(&status["program_version"])
            ),
        );
        line(
            "policy",
            format!(
                "{}, image {}",
                word(&status["mode"]),
                word(&status["generation"])
            ),
        );
        for database in status["databases"].as_array().into_iter().flatten() {
            let built = database["built"].as_u64().unwrap_or_default();
            line(
                "data",
                format!(
                    "{}, built {}, {} days ago",
                    word(&database["name"]),
                    UnixSeconds(built).date(),
                    word(&database["age_days"])
                ),
            );
        }
        let exceptions = &status["exceptions"];
        line(
            "exceptions",
            format!("{} in force", word(&exceptions["live"])),
        );
        for one in exceptions["lapsing"].as_array().into_iter().flatten() {
            let (id, until, owner) = (word(&one["id"]), word(&one["until"]), word(&one["owner"]));
            line("lapsing", format!("{id} on {until}, owner {owner}"));
        }
        for one in exceptions["noted"].as_array().into_iter().flatten() {
            let how = if one["holds"] == true {
                "holds only in part"
            } else {
                "does not hold"
            };
            line(
                "NOTE",
                format!(
                    "exception {} {how}: {}",
                    word(&one["id"]),
                    word(&one["note"])
                ),
            );
        }
        line(
            "metrics",
            format!("http://{}/metrics", word(&status["listen"])),
        );
        if !status["trial"].is_null() {
            line(
                "ON TRIAL",
                format!(
                    "for another {} s; then image {} filters again unless `geofence confirm` comes",
                    word(&status["trial"]["seconds_left"]),
                    word(&status["trial"]["generation_before"])
                ),
            );
        }
        let reloads = &status["reloads"];
        line(
            "reloads",
            format!(
                "{} done, {} refused",
                word(&reloads["succeeded"]),
                word(&reloads["failed"])
            ),
        );
        if !reloads["trouble"].is_null() {
            line(
                "DEGRADED",
                format!(
                    "{}: {}",
                    word(&reloads["trouble"]["cause"]),
                    word(&reloads["trouble"]["text"])
                ),
            );
        }
        line("privilege", privilege::sentence(&status["privilege"]));
        for one in status["privilege"]["kept"].as_array().into_iter().flatten() {
            line(
                "kept",
                format!("{}: {}", word(&one["capability"]), word(&one["reason"])),
            );
        }
    } else {
        line("daemon", "none runs; the filter goes on without".to_owned());
    }
    let interfaces = status["interfaces"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    for one in interfaces {
        let state = if one["protected"] == true {
            format!("protected, {} mode", word(&one["mode"]))
        } else {
            format!("NOT PROTECTED, {}", word(&one["standing"]))
        };
        let detail = one["detail"].as_str();
        let detail = detail.map_or_else(String::new, |detail| format!(" ({detail})"));
        line(
            "interface",
            format!("{}: {state}{detail}", word(&one["interface"])),
        );
    }
    if interfaces.is_empty() {
        line("interface", "none: nothing is filtered".to_owned());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_stands_out() {
        let said = text(&json!({
            "instance": "geofence",
            "process": 7,
            "program_version": "0.1.0",
            "mode": "enforce",
            "generation": 3,
            "listen": "127.0.0.1:10317",
            "databases": [{ "name": "a.mmdb", "built": 1_780_272_000_u64, "age_days": 4 }],
            "exceptions": {
                "live": 2,
                "lapsing": [{ "id": "x-1", "until": "2026-12-01T00:00:00Z", "owner": "noc" }],
                "noted": [{ "id": "x-2", "holds": false, "note": "there is no tenant a any more" }],
            },
            "interfaces": [
                { "interface": "eth0", "mode": "native", "protected": true, "standing": "protected" },
                { "interface": "eth1", "mode": "native", "protected": false, "standing": "gone" },
            ],
            "reloads": {
                "succeeded": 1,
                "failed": 2,
                "trouble": { "cause": "database", "text": "a.mmdb is a web page", "since": 1 },
            },
        }));
        assert!(
            said.contains("DEGRADED   database: a.mmdb is a web page\n"),
            "{said}"
        );
        assert!(
            said.contains("lapsing    x-1 on 2026-12-01T00:00:00Z, owner noc\n"),
            "{said}"
        );
        assert!(
            said.contains("NOTE       exception x-2 does not hold: there is"),
            "{said}"
        );
        assert!(said.contains("eth0: protected, native mode\n"), "{said}");
        assert!(said.contains("eth1: NOT PROTECTED, gone\n"), "{said}");
        let said = text(&json!({ "instance": "geofence", "process": null, "interfaces": [] }));
        assert!(
            said.contains("none runs") && said.contains("nothing is filtered"),
            "{said}"
        );
    }
}
