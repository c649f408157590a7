//! `geofence diff`: what a new policy would change, before it changes anything.

use std::fmt::{Display, Write as _};
use std::io::{IsTerminal as _, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use comfy_table::{CellAlignment, LineStyle, Table, presets};
use serde_json::json;

use super::options::{InstanceArgs, PolicyArgs};
use super::outcome::Outcome;
use crate::checks::diff::traffic::{Affected, affected, counters};
use crate::checks::diff::{Diff, Side, Standing};
use crate::kernel::Running;
use crate::model::countries;
use crate::model::policy::{CountryRule, Policy, Service};
use crate::model::text::grouped;
use crate::prepare::{Prepared, now, prepare};

/// Show what a new policy would change: countries, addresses, lists, services, data, and the traffic seen now
///
/// Compares with the running filter, or with another configuration. Exits with 0 if nothing would change and 1 if
/// something would.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The new configuration; without one the default policy
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The configuration in use, to compare with it instead of with the running filter
    #[arg(long, value_name = "OLD")]
    config: Option<PathBuf>,
    /// GeoIP database (MMDB) instead of those of the new configuration; repeat it for several
    #[arg(long, value_name = "FILE")]
    database: Vec<PathBuf>,
    /// Countries to block instead of those of the new configuration
    #[arg(long, value_name = "CC,...")]
    block: Option<String>,
    /// Where a running filter's metrics are, such as http://127.0.0.1:10317/metrics; as a rule that is known
    #[arg(long, value_name = "URL")]
    counters: Option<String>,
    /// For how many seconds traffic is watched; with 0, only what was counted since the filter was started is shown
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    over: u16,
    /// List every country whose data changed, not only those that the policy lists
    #[arg(long)]
    all: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    instance: InstanceArgs,
}

/// The policy in use.
enum Old {
    Prepared(Box<Prepared>),
    Running(Box<Running>),
}

impl Old {
    fn find(arguments: &Arguments) -> anyhow::Result<Self> {
        if arguments.config.is_some() {
            let old = PolicyArgs {
                config: arguments.config.clone(),
                ..PolicyArgs::default()
            };
            let mut old = old.config()?;
            arguments.instance.apply(&mut old)?;
            return Ok(Self::Prepared(Box::new(prepare(old)?)));
        }
        let compare = "name the configuration to compare with: --config OLD";
        match Running::find(&arguments.instance.instance()?) {
            Ok(Some(running)) => Ok(Self::Running(Box::new(running))),
            Ok(None) => bail!("no filter runs; {compare}"),
            Err(error) => Err(error).context(format!("reading the running filter; {compare}")),
        }
    }

    fn side(&self) -> Side<'_> {
        match self {
            Self::Prepared(prepared) => Side {
                words: prepared.image.words(),
                config: Some(&prepared.config),
            },
            Self::Running(running) => Side {
                words: running.words(),
                config: None,
            },
        }
    }

    fn name(&self, arguments: &Arguments) -> String {
        match (self, &arguments.config) {
            (Self::Prepared(_), Some(path)) => path.display().to_string(),
            (Self::Prepared(_), None) => "the default policy".to_owned(),
            (Self::Running(running), _) => format!("the running filter (id {})", running.id()),
        }
    }
}

/// Traffic that would be treated differently, or why it is not known.
struct Traffic {
    url: String,
    affected: Result<Vec<Affected>, String>,
}

impl Traffic {
    fn watch(
        diff: &Diff,
        arguments: &Arguments,
        listen: std::net::SocketAddr,
    ) -> anyhow::Result<Self> {
        let url = match &arguments.counters {
            Some(url) => url.clone(),
            None => format!("http://{listen}/metrics"),
        };
        let watched = || -> Result<_, crate::checks::diff::traffic::CountersError> {
            let (first, start) = (counters(&url)?, Instant::now());
            if arguments.over == 0 {
                return Ok(affected(diff, &first, None));
            }
            if std::io::stderr().is_terminal() {
                // Nobody needs this line, so nobody misses it.
                _ = writeln!(
                    std::io::stderr(),
                    "watching traffic for {} s ...",
                    arguments.over
                );
            }
            std::thread::sleep(Duration::from_secs(arguments.over.into()));
            let later = counters(&url)?;
            Ok(affected(
                diff,
                &first,
                Some((&later, start.elapsed().as_secs_f64())),
            ))
        };
        match watched() {
            // Who names a filter wants to hear of it; otherwise it may well not run.
            Err(error) if arguments.counters.is_some() => Err(error.into()),
            affected => Ok(Self {
                affected: affected.map_err(|error| error.to_string()),
                url,
            }),
        }
    }
}

pub(super) fn diff(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let new = PolicyArgs {
        config: arguments.file.clone(),
        database: arguments.database.clone(),
        block: arguments.block.clone(),
    };
    let mut new = new.config()?;
    arguments.instance.apply(&mut new)?;
    let new = prepare(new)?;
    let old = Old::find(arguments)?;
    let side = Side {
        words: new.image.words(),
        config: Some(&new.config),
    };
    let diff = Diff::new(old.side(), side, &new.config.policy, now())?;
    let moves = !diff.verdicts.is_empty() || !diff.services.closed.is_empty();
    let listen = old.side().config.unwrap_or(&new.config).listen;
    let traffic = if moves {
        Some(Traffic::watch(&diff, arguments, listen)?)
    } else {
        None
    };
    if arguments.json {
        let mut object = serde_json::to_value(&diff)?;
        object["equal"] = diff.is_empty().into();
        object["against"] = old.name(arguments).into();
        let known = traffic
            .as_ref()
            .and_then(|traffic| traffic.affected.as_ref().ok());
        let unknown = traffic
            .as_ref()
            .and_then(|traffic| traffic.affected.as_ref().err());
        object["traffic"] = json!(known);
        object["traffic_unknown"] = json!(unknown);
        writeln!(out, "{object}")?;
    } else {
        out.write_all(
            text(
                &diff,
                &new.config.policy,
                &old.name(arguments),
                arguments.all,
            )
            .as_bytes(),
        )?;
        if let Some(traffic) = &traffic {
            out.write_all(traffic_text(traffic).as_bytes())?;
        }
    }
    Ok(if diff.is_empty() {
        Outcome::Yes
    } else {
        Outcome::No
    })
}

fn text(diff: &Diff, policy: &Policy, against: &str, all: bool) -> String {
    let mut out = String::new();
    if diff.is_empty() {
        return format!("nothing changes against {against}\n");
    }
    let mut line = |name: &str, value: &dyn Display| {
        // Writing to a string cannot fail, here and below.
        _ = writeln!(out, "{name:<12} {value}");
    };
    line("against", &against);
    for (verb, codes) in [
        ("now blocked", &diff.blocked),
        ("no longer blocked", &diff.unblocked),
    ] {
        if !codes.is_empty() {
            line("countries", &format!("{verb}: {}", named(codes)));
        }
    }
    for (verb, services) in [
        ("opened", &diff.services.opened),
        ("closed", &diff.services.closed),
    ] {
        if !services.is_empty() {
            let services: Vec<_> = services.iter().map(Service::to_string).collect();
            line("services", &format!("{verb}: {}", services.join(", ")));
        }
    }
    for setting in &diff.settings {
        line(
            setting.key,
            &format!("{} -> {}", setting.before, setting.after),
        );
    }
    for change in &diff.lists {
        for (sign, prefixes) in [('+', &change.added), ('-', &change.removed)] {
            if !prefixes.is_empty() {
                line(change.list, &abridged(sign, prefixes));
            }
        }
    }
    if !diff.verdicts.is_empty() {
        _ = writeln!(
            out,
            "\nAddresses that are treated differently, by the country they count under today:\n{}",
            verdicts(diff).trim_fmt()
        );
    }
    if !diff.data.is_empty() {
        let (CountryRule::Block(listed) | CountryRule::AllowOnly(listed)) = &policy.settings.rule;
        let shows = |code: &str| all || listed.iter().any(|country| country.name() == code);
        _ = writeln!(
            out,
            "\nWhat countries gained and lost in the GeoIP data, in the fewest prefixes that hold the addresses:\n{}",
            diff.data.table(shows).trim_fmt()
        );
    }
    for refusal in diff.data.refusals() {
        _ = writeln!(
            out,
            "\nwarning: this data is taken with --force only: {refusal}"
        );
    }
    out
}

fn named(codes: &[&'static str]) -> String {
    let name = |code: &&str| countries::named(code);
    codes.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// The first few of a list that may have a hundred thousand.
fn abridged(sign: char, prefixes: &[ipnet::IpNet]) -> String {
    const SHOWN_MAX: usize = 8;
    let mut text: Vec<_> = prefixes
        .iter()
        .take(SHOWN_MAX)
        .map(|prefix| format!("{sign}{prefix}"))
        .collect();
    if prefixes.len() > SHOWN_MAX {
        text.push(format!(
            "and {} more",
            grouped((prefixes.len() - SHOWN_MAX) as u64)
        ));
    }
    text.join(" ")
}

fn verdicts(diff: &Diff) -> Table {
    let mut table = table(&[
        "country",
        "",
        "change",
        "IPv4 prefixes",
        "IPv4 addresses",
        "IPv6 prefixes",
        "IPv6 /48 sites",
    ]);
    for change in &diff.verdicts {
        let mut cells = vec![
            change.country.to_owned(),
            countries::name_of(change.country),
            way(change.before, change.after, change.whole),
        ];
        cells.extend(change.counts.all().map(grouped));
        table.add_row(cells);
    }
    align(&mut table, 3);
    table
}

/// `passes -> blocked, in part`.
fn way(before: Standing, after: Standing, whole: bool) -> String {
    let word = |standing| match standing {
        Standing::Dropped => "dropped",
        Standing::Blocked => "blocked",
        Standing::Passes => "passes",
    };
    let part = if whole { "" } else { ", in part" };
    format!("{} -> {}{part}", word(before), word(after))
}

fn traffic_text(traffic: &Traffic) -> String {
    let url = &traffic.url;
    match &traffic.affected {
        Err(error) => format!("\nTraffic: not known. {error}\n"),
        Ok(affected) if affected.is_empty() => {
            format!("\nTraffic: of what {url} has counted, nothing would be treated differently\n")
        }
        Ok(affected) => {
            let mut table = table(&[
                "country",
                "",
                "change",
                "packets/s now",
                "packets since start",
            ]);
            for one in affected {
                let rate = one
                    .per_second
                    .map_or("-".to_owned(), |rate| format!("{rate:.1}"));
                table.add_row([
                    one.country.clone(),
                    countries::name_of(&one.country),
                    way(one.before, one.after, one.whole),
                    rate,
                    grouped(one.packets),
                ]);
            }
            align(&mut table, 3);
            format!(
                "\nTraffic at {url} that would be treated differently; \"in part\" means some of these packets, for \
                 counters know neither addresses nor ports:\n{}\n",
                table.trim_fmt()
            )
        }
    }
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
    table.set_header(header);
    table
}

fn align(table: &mut Table, from: usize) {
    for column in table.column_iter_mut().skip(from) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

#[cfg(test)]
mod tests;
