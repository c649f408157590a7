//! What `geofence exception` asks the daemon, and how it prints the answers.

use std::io::Write;

use anyhow::bail;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::arguments::{Arguments, Verb};
use super::view;
use crate::cli::outcome::Outcome;
use crate::cli::request::{DaemonArgs, refused, required_peers};
use crate::daemon::{Change, ExceptionView};
use crate::serve::control::{Answer, Request, ask_for};

pub(in crate::cli) fn exception(
    arguments: &Arguments,
    out: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    match &arguments.verb {
        Verb::Add(add) => {
            let addition = (Change::Add(add.exception.spec()), add.exception.end.lasts());
            change(&add.daemon, addition, "added", out)
        }
        Verb::Extend(extend) => {
            let Some(until) = extend.end.text() else {
                bail!("say until when: --expires 30d, or --until 2027-03-31");
            };
            let id = extend.id.clone();
            let extension = (Change::Extend { id, until }, extend.end.lasts());
            change(&extend.daemon, extension, "extended", out)
        }
        Verb::Remove(remove) => {
            let removal = Change::Remove {
                id: remove.id.clone(),
                reason: remove.reason.clone(),
                force: remove.force,
                required_peers: required_peers(&remove.daemon.instance.instance()?)?,
            };
            change(&remove.daemon, (removal, None), "removed", out)
        }
        Verb::List(list) => show(&list.daemon, &question(None), view::table, out),
        Verb::Show(one) => show(&one.daemon, &question(Some(&one.id)), view::details, out),
    }
}

fn change(
    daemon: &DaemonArgs,
    (change, lasts): (Change, Option<u64>),
    done: &str,
    out: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    let is_removal = matches!(change, Change::Remove { .. });
    let words = |result: &Value| {
        let exception = ExceptionView::deserialize(&result["exception"])?;
        let mut text = format!("{done}: {}\n", view::sentence(&exception.spec));
        if !is_removal && exception.spec.until.is_none() {
            let id = exception.spec.id;
            text += &format!("it never expires; `geofence exception remove {id}` removes it\n");
        }
        Ok(text + &format!("image {} is active", result["generation"]))
    };
    let refusal = format!("not {done}, nothing changed");
    daemon.request(&Request::Exception { change, lasts }, &refusal, words, out)
}

/// The daemon's answer to a question about exceptions.
#[derive(Deserialize)]
struct All {
    exceptions: Vec<ExceptionView>,
}

/// Asks for every exception, or one.
fn question(id: Option<&str>) -> Request {
    Request::Exceptions {
        id: id.map(ToOwned::to_owned),
        bans: false,
    }
}

/// Shows what the daemon answers: all that was asked for, or the one that was named.
pub(in crate::cli) fn show(
    daemon: &DaemonArgs,
    request: &Request,
    words: fn(&[ExceptionView]) -> String,
    out: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    let instance = daemon.instance.instance()?;
    let is_one = matches!(request, Request::Exceptions { id: Some(_), .. });
    // There may be a hundred thousand, so JSON is printed as the daemon wrote it.
    let result: Box<RawValue> = match ask_for(&instance, request)? {
        Answer::Done(result) => result,
        Answer::Refused { cause, error } => {
            return refused(daemon.json, "not shown", &cause, &error, out);
        }
    };
    if daemon.json && !is_one {
        writeln!(out, "{result}")?;
        return Ok(Outcome::Yes);
    }
    let All { exceptions } = serde_json::from_str(result.get())?;
    if daemon.json {
        writeln!(out, "{}", json!(exceptions.first()))?;
    } else {
        out.write_all(words(&exceptions).as_bytes())?;
    }
    Ok(Outcome::Yes)
}
