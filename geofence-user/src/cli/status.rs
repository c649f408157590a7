//! `geofence status`: where the filter is attached, which policy is active, and whether it is the one requested.

use std::fmt::{Display, Write as _};
use std::io::Write;

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};

use super::outcome::Outcome;
use super::request::DaemonArgs;
use super::runtime;
use crate::kernel::{Pins, interfaces};
use crate::model::private_pins::PRIVATE_PINS;
use crate::model::units::UnixSeconds;
use crate::os::instance::Instance;
use crate::os::privilege;
use crate::serve::control::{Answer, AskError, Request, ask};

/// Show where the filter is attached and which policy is active, also without a daemon
///
/// Exits with 0 when a daemon runs, every interface is protected, the active policy is the last one requested and
/// nothing that was asked for is missing, and with 1 otherwise.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    daemon: DaemonArgs,
}

pub(super) fn status(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let instance = arguments.daemon.instance.instance()?;
    let status = match ask(&instance, &Request::Status) {
        Ok(Answer::Done(status)) => status,
        Ok(Answer::Refused { error, .. }) => bail!("{error}"),
        Err(AskError::NotRunning { .. }) => without_daemon(&instance)?,
        Err(error) => return Err(error.into()),
    };
    if arguments.daemon.json {
        writeln!(out, "{status}")?;
    } else {
        out.write_all(text(&status).as_bytes())?;
    }
    let is_well = status["process"].is_u64()
        && status["reloads"]["trouble"].is_null()
        && list(&status["shortfalls"]).next().is_none()
        && list(&status["interfaces"]).all(|one| one["protected"] == true);
    Ok(if is_well { Outcome::Yes } else { Outcome::No })
}

/// What the kernel keeps of an instance without a daemon.
fn without_daemon(instance: &Instance) -> anyhow::Result<Value> {
    let pins = Pins::of(instance);
    let present = runtime::new()?.block_on(interfaces())?;
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
    let all = Pins::all()?;
    let others = all.iter().filter_map(Pins::instance);
    let others: Vec<_> = others.filter(|name| *name != instance.name()).collect();
    Ok(json!({
        "instance": instance.name(),
        "process": null,
        "interfaces": interfaces,
        "other_instances": others,
    }))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn word(value: &Value) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        None if value.is_null() => "-".to_owned(),
        None => value.to_string(),
    }
}

/// The lines of the text: a name in a column of its own, and a value.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, name: &str, value: impl Display) {
        // Writing to a string cannot fail.
        _ = writeln!(self.0, "{name:<11}{value}");
    }
}

fn text(status: &Value) -> String {
    let mut lines = Lines::default();
    lines.add("instance", word(&status["instance"]));
    let is_attached = list(&status["interfaces"]).next().is_some();
    if status["process"].is_u64() {
        let (process, version) = (&status["process"], word(&status["program_version"]));
        lines.add(
            "daemon",
            format_args!("process {process}, version {version}"),
        );
        add_policy(status, &mut lines);
        add_exceptions(&status["exceptions"], &mut lines);
        if let Some(open) = status["mail_dns"].as_str() {
            lines.add("mail-dns", open);
        }
        let listen = word(&status["listen"]);
        lines.add("metrics", format_args!("http://{listen}/metrics"));
        add_changes(status, &mut lines);
        add_privilege(&status["privilege"], &mut lines);
    } else if is_attached {
        lines.add("daemon", "not running; the filter stays attached");
    } else {
        lines.add("daemon", "not running");
    }
    for one in list(&status["interfaces"]) {
        let state = if one["protected"] == true {
            let link_type = match one["link_type"].as_u64() {
                None | Some(1 | 772) => String::new(),
                Some(number) => format!(", IP packets without a link header (link type {number})"),
            };
            format!("protected, {} mode{link_type}", word(&one["mode"]))
        } else {
            format!("NOT PROTECTED, {}", word(&one["standing"]))
        };
        let detail = one["detail"].as_str();
        let detail = detail.map_or_else(String::new, |detail| format!(" ({detail})"));
        let name = word(&one["interface"]);
        lines.add("interface", format_args!("{name}: {state}{detail}"));
        let encapsulated = one["encapsulated"].as_u64().unwrap_or(0);
        if encapsulated != 0 {
            lines.add(
                "NOTE",
                format_args!(
                    "{name} received {encapsulated} packets in encapsulations that are not read (MPLS, MACsec and \
                     others); `geofence doctor {name}` says whether something here takes IP packets out of them"
                ),
            );
        }
    }
    if status["private_pins"] == true {
        lines.add("NOTE", PRIVATE_PINS);
    }
    if !is_attached {
        lines.add("filter", "not attached to any interface");
        let others: Vec<_> = list(&status["other_instances"]).map(word).collect();
        if !others.is_empty() {
            let others = others.join(", ");
            lines.add(
                "NOTE",
                format_args!("other instances have a filter: {others}; name one with --instance"),
            );
        }
    }
    lines.0
}

fn add_policy(status: &Value, lines: &mut Lines) {
    let (mode, generation) = (word(&status["mode"]), &status["generation"]);
    lines.add("policy", format_args!("{mode}, image {generation}"));
    for database in list(&status["databases"]) {
        let built = UnixSeconds(database["built"].as_u64().unwrap_or_default()).date();
        let age = match database["age_days"].as_u64() {
            Some(0) => "today".to_owned(),
            Some(1) => "1 day ago".to_owned(),
            _ => format!("{} days ago", word(&database["age_days"])),
        };
        let name = word(&database["name"]);
        lines.add("data", format_args!("{name}, built {built}, {age}"));
    }
}

fn add_exceptions(exceptions: &Value, lines: &mut Lines) {
    lines.add(
        "exceptions",
        format_args!("{} in force", word(&exceptions["live"])),
    );
    for one in list(&exceptions["lapsing"]) {
        let (id, until, owner) = (word(&one["id"]), word(&one["until"]), word(&one["owner"]));
        lines.add("expiring", format_args!("{id} on {until}, owner {owner}"));
    }
    for one in list(&exceptions["noted"]) {
        let how = if one["holds"] == true {
            "is in force only in part"
        } else {
            "is not in force"
        };
        let (id, note) = (word(&one["id"]), word(&one["note"]));
        lines.add("NOTE", format_args!("exception {id} {how}: {note}"));
    }
}

fn add_changes(status: &Value, lines: &mut Lines) {
    let trial = &status["trial"];
    if !trial.is_null() {
        let (left, before) = (&trial["seconds_left"], &trial["generation_before"]);
        lines.add(
            "ON TRIAL",
            format_args!(
                "{left} s left; without `geofence confirm`, image {before} becomes active again"
            ),
        );
    }
    let reloads = &status["reloads"];
    lines.add(
        "reloads",
        format_args!(
            "{} succeeded, {} failed",
            word(&reloads["succeeded"]),
            word(&reloads["failed"])
        ),
    );
    let failure = &reloads["trouble"];
    if !failure.is_null() {
        let (cause, text) = (word(&failure["cause"]), word(&failure["text"]));
        lines.add("DEGRADED", format_args!("{cause}: {text}"));
    }
    for one in list(&status["shortfalls"]) {
        let (part, text) = (word(&one["part"]), word(&one["text"]));
        lines.add("DEGRADED", format_args!("{part}: {text}"));
    }
}

fn add_privilege(privilege: &Value, lines: &mut Lines) {
    lines.add("privilege", privilege::sentence(privilege));
    for one in list(&privilege["kept"]) {
        let (capability, reason) = (word(&one["capability"]), word(&one["reason"]));
        lines.add("kept", format_args!("{capability}: {reason}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_in_capitals() {
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
            "shortfalls": [{ "part": "list", "name": "own", "text": "THE LIST own IS EMPTY", "since": 1 }],
        }));
        assert!(
            said.contains("DEGRADED   database: a.mmdb is a web page\n"),
            "{said}"
        );
        assert!(
            said.contains("DEGRADED   list: THE LIST own IS EMPTY\n"),
            "{said}"
        );
        assert!(
            said.contains("expiring   x-1 on 2026-12-01T00:00:00Z, owner noc\n"),
            "{said}"
        );
        assert!(
            said.contains("NOTE       exception x-2 is not in force: there is"),
            "{said}"
        );
        assert!(said.contains("eth0: protected, native mode\n"), "{said}");
        assert!(said.contains("eth1: NOT PROTECTED, gone\n"), "{said}");
        let said = text(&json!({
            "instance": "typo", "process": null, "interfaces": [], "other_instances": ["geofence-lan"],
        }));
        assert!(
            said.contains(
                "NOTE       other instances have a filter: geofence-lan; name one with --instance"
            ),
            "{said}"
        );
        assert!(
            said.contains("daemon     not running\n")
                && said.contains("filter     not attached to any interface\n"),
            "{said}"
        );
    }
}
