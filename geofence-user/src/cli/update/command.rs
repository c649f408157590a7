//! The command: what is chosen, one after another.

use std::io::Write;
use std::path::Path;

use anyhow::bail;
use clap::Args;
use serde_json::Value;

use super::databases::Databases;
use super::lists::{self, Lists};
use crate::cli::options::{ListArgs, daemon_status};
use crate::cli::outcome::Outcome;
use crate::config::Config;
use crate::data::lists::UpdateOptions;
use crate::data::lists::store::Store;
use crate::model::geoip_source::GeoipSource;
use crate::model::list::{Definition, Source};

/// Fetch databases and lists, check them and put them in place; a running geofence loads them by itself
///
/// Exits with 0 if everything is up to date, with 1 if something was rejected or could not be fetched (what was in use
/// stays active), and with 2 if nothing can be stored. Says so if there is nothing to fetch.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Lists to update, and databases by their path or file name [default: every database with a `[[geoip-source]]`,
    /// and every list with a URL]
    #[arg(value_name = "NAME")]
    pub(super) names: Vec<String>,
    /// Accept what the sanity check rejects: a list that has grown tenfold, is empty, covers much of the address space
    /// or of the traffic, or overlaps special-use space, a management prefix or an address of this machine; a database
    /// that has lost much. Applies to what is fetched now, not to later updates
    #[arg(long, requires = "names")]
    pub(super) force: bool,
    /// Print a JSON list
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) lists: ListArgs,
}

/// One thing to update.
#[derive(Clone, Copy)]
enum Chosen<'a> {
    Database(&'a GeoipSource),
    List(&'a Definition),
}

pub(in crate::cli) fn update(
    arguments: &Arguments,
    out: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    let daemon = arguments.lists.daemon();
    let (config, policy) = arguments.lists.config_beside(&daemon)?;
    let store = Store::of(&config.instance);
    if !arguments.json {
        writeln!(out, "policy: {policy}")?;
    }
    // The traffic is that of the instance, whichever file names its lists.
    let daemon = daemon_status(&config.instance).unwrap_or_default();
    run(arguments, &config, store, &daemon, out)
}

fn run(
    arguments: &Arguments,
    config: &Config,
    store: Store,
    daemon: &Value,
    out: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    let chosen = chosen(&arguments.names, config)?;
    if chosen.is_empty() && !arguments.json {
        writeln!(out, "{}", nothing_to_fetch(&config.lists))?;
    }
    let options = UpdateOptions {
        force: arguments.force,
        is_named: !arguments.names.is_empty(),
    };
    let databases = Databases::new(config, options);
    let lists = Lists::new(config, store, daemon, options);
    let mut objects = Vec::new();
    let mut outcome = Outcome::Yes;
    for one in chosen {
        let (is_good, object, line) = match one {
            Chosen::Database(source) => {
                let updated = databases.update(source)?;
                (
                    updated.is_good(),
                    updated.to_json(source),
                    updated.line(source),
                )
            }
            Chosen::List(definition) => {
                let updated = lists.update(definition)?;
                (
                    lists::is_good(&updated),
                    lists::object(&definition.name, &updated),
                    lists::line(definition, &updated),
                )
            }
        };
        if !is_good {
            outcome = Outcome::No;
        }
        if arguments.json {
            objects.push(object);
        } else {
            writeln!(out, "{line}")?;
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
        "nothing to fetch: the configuration has no `[[list]]` and no `[[geoip-source]]`; name the right file with \
         --config"
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

/// What has these names, or everything that is fetched.
fn chosen<'a>(names: &[String], config: &'a Config) -> anyhow::Result<Vec<Chosen<'a>>> {
    let databases = &config.geoip_sources;
    if names.is_empty() {
        let is_fetched = |list: &&Definition| matches!(list.source, Source::Url(_));
        let lists = config.lists.iter().filter(is_fetched).map(Chosen::List);
        return Ok(databases
            .iter()
            .map(Chosen::Database)
            .chain(lists)
            .collect());
    }
    let find = |name: &String| {
        let is_called = |source: &&GeoipSource| {
            source.file == Path::new(name) || source.file.file_name() == Some(name.as_ref())
        };
        if let Some(list) = config.lists.iter().find(|list| list.name == *name) {
            return Ok(Chosen::List(list));
        }
        if let Some(source) = databases.iter().find(is_called) {
            return Ok(Chosen::Database(source));
        }
        let files = databases.iter().map(|one| one.file.display().to_string());
        let known = config.lists.iter().map(|list| list.name.clone());
        let known: Vec<_> = known.chain(files).collect();
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
    names.iter().map(find).collect()
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
            let outcome = run(&arguments, &config, store, &Value::Null, &mut out).unwrap();
            assert_eq!(outcome, Outcome::Yes);
            String::from_utf8(out).unwrap()
        };
        assert!(said("").starts_with("nothing to fetch: the configuration has no `[[list]]`"));
        let own = "[[list]]\nname = \"own\"\nfile = \"/srv/own.txt\"\nformat = \"plain\"\n";
        assert!(said(own).contains("no list has a `url`; own is read from files"));
    }
}
