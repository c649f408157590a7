//! `geofence exception`: lets somebody in for a while, shows who is, and takes it back; the running daemon does it.

mod view;

use std::io::Write;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, Subcommand};
use jiff::{Span, SpanRelativeTo};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::options::InstanceArgs;
use super::outcome::Outcome;
use super::request::{refused, required_peers};
use crate::config::ExceptionSpec;
use crate::daemon::{Change, Shown};
use crate::model::units::UnixSeconds;
use crate::serve::control::{Answer, Request, ask, ask_for};

/// Let somebody in although a country or a list says no, see who is let in, and take it back
///
/// What is granted here is in force within the moment, outlives daemon and machine, and every change is on record in
/// audit.jsonl beside it. Exceptions of the configuration are shown as well; they are changed there. Exits with 0 when
/// it is done and 1 when it was refused.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Add(Add),
    List(List),
    Show(Show),
    Extend(Extend),
    Remove(Remove),
}

/// Let somebody in
#[derive(Args, Debug)]
struct Add {
    /// Name by which it is known, a ticket's number for instance; one is made up when left out
    #[arg(value_name = "ID", default_value = "", hide_default_value = true)]
    id: String,
    /// Who: a prefix, an address, a country, a group of countries or an autonomous system; repeat it for several
    #[arg(long, value_name = "PREFIX|COUNTRY|AS", required = true)]
    from: Vec<String>,
    /// What they may reach: a tenant, a prefix, an address, or "any"; repeat it for several
    #[arg(long, value_name = "TENANT|PREFIX|any", required = true)]
    to: Vec<String>,
    /// Only this protocol (tcp, udp, icmp, esp, gre, sctp) instead of all traffic; repeat it for several
    #[arg(long, value_name = "PROTOCOL")]
    proto: Vec<String>,
    /// Only this port of the protocol; repeat it for several
    #[arg(long, value_name = "PORT[-PORT]", requires = "proto")]
    port: Vec<String>,
    /// Who answers for it
    #[arg(long, value_name = "TEXT")]
    owner: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    end: End,
    #[command(flatten)]
    common: Common,
}

/// List all exceptions, those of the configuration as well, with the packets each has let pass
#[derive(Args, Debug)]
struct List {
    #[command(flatten)]
    common: Common,
}

/// Show all there is to know of one
#[derive(Args, Debug)]
struct Show {
    /// Its name
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    common: Common,
}

/// Move the end of one, either way
#[derive(Args, Debug)]
struct Extend {
    /// Its name
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    end: End,
    #[command(flatten)]
    common: Common,
}

/// Take one back
#[derive(Args, Debug)]
struct Remove {
    /// Its name
    #[arg(value_name = "ID")]
    id: String,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Do it even where that cuts off this machine's SSH sessions, gateways, resolvers or metadata service
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    common: Common,
}

/// When it lapses.
#[derive(Args, Debug)]
struct End {
    /// Lapses by itself so long from now: 30d, 12h, 90m
    #[arg(long, value_name = "TIME", value_parser = span, conflicts_with = "until")]
    expires: Option<Duration>,
    /// Lapses by itself at the end of this day (UTC), or at a time with its zone: 2027-03-31T18:00:00+02:00
    #[arg(long, value_name = "DAY|TIME")]
    until: Option<String>,
}

#[derive(Args, Debug)]
struct Common {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    instance: InstanceArgs,
}

/// Reads how long something lasts.
fn span(text: &str) -> Result<Duration, String> {
    let example = "write it as 30d, 12h or 90m";
    let span: Span = text
        .parse()
        .map_err(|error| format!("{error}; {example}"))?;
    let exact = span.to_duration(SpanRelativeTo::days_are_24_hours());
    let exact = exact.map_err(|_| format!("months and years have no fixed length; {example}"))?;
    match Duration::try_from(exact) {
        Ok(lasts) if lasts >= Duration::from_secs(1) => Ok(lasts),
        _ => Err(format!("an exception lasts a second at least; {example}")),
    }
}

impl End {
    fn text(&self) -> Option<String> {
        let at = self
            .expires
            .map(|lasts| UnixSeconds::now().plus(lasts).to_string());
        at.or_else(|| self.until.clone())
    }
}

impl Add {
    fn grant(&self) -> ExceptionSpec {
        let services = self.proto.iter().flat_map(|protocol| {
            let ports = self
                .port
                .iter()
                .map(move |port| format!("{protocol}/{port}"));
            let alone = self.port.is_empty().then(|| protocol.clone());
            alone.into_iter().chain(ports)
        });
        ExceptionSpec {
            id: self.id.clone(),
            from: self.from.clone(),
            to: self.to.clone(),
            services: services.collect(),
            owner: self.owner.clone(),
            reason: self.reason.clone(),
            until: self.end.text(),
        }
    }
}

pub(super) fn exception(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    match &arguments.verb {
        Verb::Add(add) => change(&add.common, Change::Add(add.grant()), "granted", out),
        Verb::Extend(extend) => {
            let Some(until) = extend.end.text() else {
                bail!("say until when: --expires 30d, or --until 2027-03-31");
            };
            let id = extend.id.clone();
            change(
                &extend.common,
                Change::Extend { id, until },
                "extended",
                out,
            )
        }
        Verb::Remove(remove) => {
            let instance = remove.common.instance.instance()?;
            let removal = Change::Remove {
                id: remove.id.clone(),
                reason: remove.reason.clone(),
                force: remove.force,
                needed: required_peers(&instance)?,
            };
            change(&remove.common, removal, "removed", out)
        }
        Verb::List(list) => show(&list.common, None, view::table, out),
        Verb::Show(one) => show(&one.common, Some(&one.id), view::one, out),
    }
}

fn change(
    common: &Common,
    change: Change,
    done: &str,
    out: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    let instance = common.instance.instance()?;
    match ask(&instance, &Request::Exception { change })? {
        Answer::Done(mut result) => {
            if common.json {
                result["ok"] = true.into();
                writeln!(out, "{result}")?;
                return Ok(Outcome::Yes);
            }
            let exception: Shown = serde_json::from_value(result["exception"].take())?;
            writeln!(out, "{done}: {}", view::sentence(&exception))?;
            if done != "removed" && exception.until.is_none() {
                writeln!(
                    out,
                    "it has no end; `geofence exception remove {}` takes it back",
                    exception.id
                )?;
            }
            writeln!(out, "image {} is in place", result["generation"])?;
            Ok(Outcome::Yes)
        }
        Answer::Refused { cause, error } => {
            let what = format!("not {done}, everything stays as it was");
            refused(common.json, &what, &cause, &error, out)
        }
    }
}

/// The daemon's answer to a question about exceptions.
#[derive(Deserialize)]
struct All {
    exceptions: Vec<Shown>,
}

fn show(
    common: &Common,
    id: Option<&str>,
    text: fn(&[Shown]) -> String,
    out: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    let instance = common.instance.instance()?;
    let id = id.map(ToOwned::to_owned);
    let is_one = id.is_some();
    // There may be so many that whoever wants JSON had better get what the daemon said.
    let result: Box<RawValue> = match ask_for(&instance, &Request::Exceptions { id })? {
        Answer::Done(result) => result,
        Answer::Refused { cause, error } => {
            return refused(common.json, "not shown", &cause, &error, out);
        }
    };
    if common.json && !is_one {
        writeln!(out, "{result}")?;
        return Ok(Outcome::Yes);
    }
    let All { exceptions } = serde_json::from_str(result.get())?;
    if common.json {
        writeln!(out, "{}", json!(exceptions.first()))?;
    } else {
        out.write_all(text(&exceptions).as_bytes())?;
    }
    Ok(Outcome::Yes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_has_a_unit() {
        for (text, seconds) in [
            ("30d", 30 * 86_400),
            ("2w", 14 * 86_400),
            ("90m", 5400),
            ("3s", 3),
        ] {
            assert_eq!(span(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for wrong in ["", "30", "soon", "0s", "-1d", "1mo", "1y", "100ms"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }
}
