//! `geofence update`: fetches the lists that have a URL, reads those that have a file, and keeps what is good.

use std::io::{IsTerminal as _, Write, stderr};

use anyhow::bail;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::options::ListArgs;
use super::outcome::Outcome;
use crate::config::Config;
use crate::data::lists::sanity::Surroundings;
use crate::data::lists::store::Store;
use crate::data::lists::update::{self, Outcome as Became};
use crate::data::lists::{Definition, Source};
use crate::model::text::grouped;
use crate::prepare::now;

/// Fetch lists and keep what is good; a running geofence then uses it by itself
///
/// Exits with 0 when every list is as its source has it, with 1 when one was refused or not to be had (what was good
/// before stays in use), and with 2 when nothing can be kept.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Lists to bring up to date; all that have a URL when left out
    #[arg(value_name = "LIST")]
    names: Vec<String>,
    /// Take what the guard does not believe: a list that has grown tenfold, has nothing on it, or names special-use
    /// space, a management prefix or this machine. It holds for what is fetched now, not for later versions
    #[arg(long, requires = "names")]
    force: bool,
    /// Print a JSON list
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    lists: ListArgs,
}

pub(super) fn update(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let config = arguments.lists.config()?;
    let store = Store::of(&config.instance);
    run(arguments, &config, &store, out)
}

fn run(
    arguments: &Arguments,
    config: &Config,
    store: &Store,
    out: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    let chosen = chosen(&arguments.names, &config.lists)?;
    let around = Surroundings::of_this_machine(&config.policy.management);
    let mut objects = Vec::new();
    let mut outcome = Outcome::Yes;
    for definition in chosen {
        let bar = bar(definition);
        let mut progress = |done, length: Option<u64>| {
            if let Some(length) = length {
                bar.set_length(length);
            }
            bar.set_position(done);
        };
        let force = arguments.force;
        let became = update::update(definition, &around, store, force, now(), &mut progress)?;
        bar.finish_and_clear();
        if matches!(became, Became::Refused { .. } | Became::Failed { .. }) {
            outcome = Outcome::No;
        }
        if arguments.json {
            objects.push(object(&definition.name, &became));
        } else {
            writeln!(out, "{}", line(definition, &became))?;
        }
    }
    if arguments.json {
        writeln!(out, "{}", Value::from(objects))?;
    }
    Ok(outcome)
}

/// The lists of these names, or all that are fetched.
fn chosen<'a>(names: &[String], lists: &'a [Definition]) -> anyhow::Result<Vec<&'a Definition>> {
    if names.is_empty() {
        let fetched = lists
            .iter()
            .filter(|list| matches!(list.source, Source::Url(_)));
        return Ok(fetched.collect());
    }
    let find = |name: &String| {
        let Some(list) = lists.iter().find(|list| list.name == *name) else {
            let known: Vec<_> = lists.iter().map(|list| list.name.as_str()).collect();
            if known.is_empty() {
                bail!(
                    "there is no list {name:?}, nor any other: give the file that has `[[list]]` with --config"
                );
            }
            bail!(
                "there is no list {name:?}; the lists are {}",
                known.join(", ")
            );
        };
        Ok(list)
    };
    names.iter().map(find).collect()
}

/// Shows what is being fetched, on a terminal.
fn bar(definition: &Definition) -> ProgressBar {
    if !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg} {bytes}/{total_bytes} {wide_bar}");
    let bar = ProgressBar::no_length().with_message(definition.name.clone());
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn object(name: &str, became: &Became) -> Value {
    let (what, entries, before, why) = match became {
        Became::Updated { entries, before } => ("updated", Some(*entries), *before, None),
        Became::Unchanged { entries } => ("unchanged", Some(*entries), Some(*entries), None),
        Became::Refused { why, entries } => ("refused", *entries, *entries, Some(why)),
        Became::Failed { why, entries } => ("failed", *entries, *entries, Some(why)),
    };
    json!({ "list": name, "outcome": what, "entries": entries, "before": before, "error": why })
}

fn line(definition: &Definition, became: &Became) -> String {
    let name = &definition.name;
    let count = |entries: usize| grouped(entries as u64);
    let stays = |entries: &Option<usize>| match entries {
        Some(entries) => format!("the {} entries from before stay in use", count(*entries)),
        None => "there are none from before".to_owned(),
    };
    match became {
        Became::Updated {
            entries,
            before: Some(before),
        } => format!(
            "{name}: {} entries, {} before",
            count(*entries),
            count(*before)
        ),
        Became::Updated {
            entries,
            before: None,
        } => format!("{name}: {} entries, for the first time", count(*entries)),
        Became::Unchanged { entries } => format!("{name}: unchanged, {} entries", count(*entries)),
        Became::Refused { why, entries } => format!(
            "{name}: REFUSED, {}:\n{why}\nIf it is right all the same: geofence update {name} --force",
            stays(entries)
        ),
        Became::Failed { why, entries } => format!("{name}: FAILED, {}:\n{why}", stays(entries)),
    }
}
