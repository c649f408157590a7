//! `geofence update`: fetches the lists that have a URL, reads those that have a file, and stores what is good.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write, stderr};

use anyhow::bail;
use clap::Args;
use geofence_common::action::Action;
use geofence_common::country::Country;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::options::{ListArgs, daemon_status};
use super::outcome::Outcome;
use crate::checks::diff::counters;
use crate::config::Config;
use crate::daemon::candidate::traffic_of;
use crate::data::lists::store::Store;
use crate::data::lists::{self, LocalAddresses, Traffic, UpdateOutcome};
use crate::kernel::Running;
use crate::model::list::{Definition, Source};
use crate::model::text::grouped;
use crate::model::units::UnixSeconds;

/// Fetch lists and store those that are good; a running geofence reloads them by itself
///
/// Exits with 0 if every list is up to date, with 1 if a list was rejected or could not be fetched (its last good text
/// stays active), and with 2 if nothing can be stored. Says so if there is no list to fetch.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Lists to update; default: all that have a URL
    #[arg(value_name = "LIST")]
    names: Vec<String>,
    /// Accept a list that the sanity check rejects: one that has grown tenfold, is empty, covers much of the address
    /// space or of the traffic, or overlaps special-use space, a management prefix or an address of this machine.
    /// Applies to the text fetched now, not to later ones
    #[arg(long, requires = "names")]
    force: bool,
    /// Print a JSON list
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    lists: ListArgs,
}

pub(super) fn update(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let daemon = arguments.lists.daemon();
    let (config, policy) = arguments.lists.config_beside(&daemon)?;
    let store = Store::of(&config.instance);
    if !arguments.json {
        writeln!(out, "policy: {policy}")?;
    }
    // The traffic is that of the instance, whichever file names its lists.
    let traffic = traffic(
        &config,
        &daemon_status(&config.instance).unwrap_or_default(),
    );
    run(arguments, &config, &store, traffic, out)
}

/// The traffic that passes the running filter, if one runs and tells.
fn traffic(config: &Config, daemon: &Value) -> Option<Traffic> {
    let listen = daemon["listen"].as_str()?;
    let counted = counters(&format!("http://{listen}/metrics")).ok()?;
    let running = Running::find(&config.instance).ok()??;
    let mut passed = BTreeMap::new();
    for ((code, action, _), packets) in counted.countries {
        let code = code.as_bytes().try_into().ok().and_then(Country::from_code);
        if let Some(country) = code.filter(|_| action == Action::Pass.name()) {
            *passed.entry(country).or_default() += packets;
        }
    }
    traffic_of(running.words(), &passed)
}

fn run(
    arguments: &Arguments,
    config: &Config,
    store: &Store,
    traffic: Option<Traffic>,
    out: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    let chosen = chosen(&arguments.names, &config.lists)?;
    if chosen.is_empty() && !arguments.json {
        writeln!(out, "{}", nothing_to_fetch(&config.lists))?;
    }
    let local = LocalAddresses {
        traffic,
        ..LocalAddresses::of_this_machine(&config.policy.management)
    };
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
        let now = UnixSeconds::now();
        let updated = lists::update(definition, &local, store, force, now, &mut progress)?;
        bar.finish_and_clear();
        if matches!(
            updated,
            UpdateOutcome::Rejected { .. } | UpdateOutcome::Failed { .. }
        ) {
            outcome = Outcome::No;
        }
        if arguments.json {
            objects.push(object(&definition.name, &updated));
        } else {
            writeln!(out, "{}", line(definition, &updated))?;
        }
    }
    if arguments.json {
        writeln!(out, "{}", Value::from(objects))?;
    }
    Ok(outcome)
}

/// Why there is nothing to do.
fn nothing_to_fetch(lists: &[Definition]) -> String {
    let names: Vec<_> = lists.iter().map(|list| list.name.as_str()).collect();
    if names.is_empty() {
        "nothing to fetch: the configuration has no `[[list]]`; name the right file with --config"
            .to_owned()
    } else {
        format!(
            "nothing to fetch: no list has a `url`; {} read from files, which `geofence reload` reads again",
            match names.as_slice() {
                [name] => format!("{name} is"),
                names => format!("{} are", names.join(", ")),
            }
        )
    }
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
                    "there is no list {name:?}: the configuration has no `[[list]]`; name the right file with --config"
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

/// The progress of a fetch, shown on a terminal.
fn bar(definition: &Definition) -> ProgressBar {
    if !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg} {bytes}/{total_bytes} {wide_bar}");
    let bar = ProgressBar::no_length().with_message(definition.name.clone());
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn object(name: &str, updated: &UpdateOutcome) -> Value {
    let (what, entries, before, why) = match updated {
        UpdateOutcome::Updated { entries, before } => ("updated", Some(*entries), *before, None),
        UpdateOutcome::Unchanged { entries } => ("unchanged", Some(*entries), Some(*entries), None),
        UpdateOutcome::Rejected { why, entries } => ("refused", *entries, *entries, Some(why)),
        UpdateOutcome::Failed { why, entries } => ("failed", *entries, *entries, Some(why)),
    };
    json!({ "list": name, "outcome": what, "entries": entries, "before": before, "error": why })
}

fn line(definition: &Definition, updated: &UpdateOutcome) -> String {
    let name = &definition.name;
    let count = |entries: usize| grouped(entries as u64);
    let stays = |entries: &Option<usize>| match entries {
        Some(entries) => format!(
            "the last good text with {} entries stays active",
            count(*entries)
        ),
        None => "there is no earlier good text".to_owned(),
    };
    match updated {
        UpdateOutcome::Updated {
            entries,
            before: Some(before),
        } => format!(
            "{name}: {} entries, {} before",
            count(*entries),
            count(*before)
        ),
        UpdateOutcome::Updated {
            entries,
            before: None,
        } => format!("{name}: {} entries, for the first time", count(*entries)),
        UpdateOutcome::Unchanged { entries } => {
            format!("{name}: unchanged, {} entries", count(*entries))
        }
        UpdateOutcome::Rejected { why, entries } => format!(
            "{name}: REJECTED, {}:\n{why}\nIf the new text is right, accept it: geofence update {name} --force",
            stays(entries)
        ),
        UpdateOutcome::Failed { why, entries } => {
            format!("{name}: FAILED, {}:\n{why}", stays(entries))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn update_without_a_list_to_fetch_says_so() {
        let place = tempfile::tempdir().unwrap();
        let said = |config: &str| {
            let config = Config::parse(config, "test.toml").unwrap();
            let arguments = Arguments {
                names: Vec::new(),
                force: false,
                json: false,
                lists: ListArgs::default(),
            };
            let mut out = Vec::new();
            let store = Store::at(place.path());
            let outcome = run(&arguments, &config, &store, None, &mut out).unwrap();
            assert_eq!(outcome, Outcome::Yes);
            String::from_utf8(out).unwrap()
        };
        assert!(said("").starts_with("nothing to fetch: the configuration has no `[[list]]`"));
        let own = "[[list]]\nname = \"own\"\nfile = \"/srv/own.txt\"\nformat = \"plain\"\n";
        assert!(said(own).contains("no list has a `url`; own is read from files"));
    }
}
