//! The verb: collects the answers, writes the file, runs the checks, and prints how to go on. It attaches nothing.

use std::io::{IsTerminal as _, Write, stderr, stdin};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;

use super::answers::{Answers, entries};
use super::questions::{self, Suggested};
use crate::checks::lockout::{self, Dependency, Lockout, Need, Replies};
use crate::cli::options::DEFAULT_FILE;
use crate::cli::outcome::Outcome;
use crate::cli::{check, doctor, runtime};
use crate::config::Config;
use crate::kernel::{find_interface, interfaces};
use crate::model::interface::Interface;
use crate::os::replace::replace;
use crate::prepare::prepare;

/// Where the service manager looks for the unit of a package or of an operator.
const UNITS: [&str; 3] = [
    "/etc/systemd/system/geofence.service",
    "/usr/lib/systemd/system/geofence.service",
    "/lib/systemd/system/geofence.service",
];

/// Write a first configuration, check it and this machine, and print how to go on
///
/// Asks on a terminal for what the options leave open; without a terminal, --interface is needed and the rest has
/// defaults. Attaches nothing. Exits with 0 if the filter can be started, with 1 if something should change first, and
/// with 2 if nothing was written or the configuration cannot be used.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Interface to protect; repeat it for several
    #[arg(long, value_name = "IF")]
    interface: Vec<String>,
    /// Countries to block: codes and groups, such as RU,BY,south-america [default: RU,UA,BY,CN,KP]
    #[arg(long, value_name = "CC,...")]
    block: Option<String>,
    /// GeoIP database (MMDB) instead of the embedded one; repeat it for vendors with a file for each address family
    #[arg(long, value_name = "FILE")]
    database: Vec<PathBuf>,
    /// Addresses and prefixes from which you log in, separated by commas
    #[arg(long, value_name = "PREFIX,...")]
    management: Option<String>,
    /// File to write
    #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
    config: PathBuf,
    /// Replace the file if it exists
    #[arg(long)]
    force: bool,
}

impl Arguments {
    fn answers(&self) -> anyhow::Result<Answers> {
        let list = |text: &Option<String>| text.as_deref().map(entries).unwrap_or_default();
        let databases = self.database.iter().map(std::path::absolute);
        Ok(Answers {
            interfaces: self.interface.clone(),
            block: list(&self.block),
            databases: databases.collect::<std::io::Result<_>>()?,
            management: list(&self.management),
        })
    }
}

pub(in crate::cli) fn init(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let file = &arguments.config;
    let shown = file.display();
    // A file that cannot be examined may exist.
    if !arguments.force && file.try_exists().unwrap_or(true) {
        bail!(
            "{shown} exists: `geofence check {shown}` says what it means, and --force replaces it"
        );
    }
    let runtime = runtime::new()?;
    let present = runtime.block_on(interfaces())?;
    let mut answers = arguments.answers()?;
    if stdin().is_terminal() && stderr().is_terminal() {
        let (found, _) = runtime.block_on(lockout::dependencies(&[], None));
        let suggested = Suggested {
            interfaces: suggested_interfaces(&present),
            management: sessions(&found),
        };
        let names: Vec<_> = present.iter().map(|one| one.name.clone()).collect();
        let (mut input, mut terminal) = (stdin().lock(), stderr());
        questions::ask(&mut answers, &suggested, &names, &mut input, &mut terminal)?;
    }
    if answers.interfaces.is_empty() {
        let names: Vec<_> = present.iter().map(|one| one.name.as_str()).collect();
        bail!(
            "name the interface to protect with --interface; the interfaces are {}",
            names.join(", ")
        );
    }
    for name in &answers.interfaces {
        find_interface(&present, name)?;
    }
    let config = answers.config(&shown.to_string())?;
    write_file(file, &answers.text())?;
    writeln!(out, "wrote {shown}\n")?;
    let is_fit = [
        check_policy(file, out)?,
        check_machine(&answers.interfaces, out)?,
        check_lockout(config, &runtime, out)?,
    ];
    write_commands(file, out)?;
    Ok(match is_fit {
        [true, true, true] => Outcome::Yes,
        _ => Outcome::No,
    })
}

/// The interfaces that a device backs, if there is one only: with several, only the operator knows.
fn suggested_interfaces(present: &[Interface]) -> Vec<String> {
    let hardware: Vec<_> = present.iter().filter(|one| one.is_hardware).collect();
    match hardware.as_slice() {
        [one] => vec![one.name.clone()],
        _ => Vec::new(),
    }
}

/// The addresses from which SSH sessions come.
fn sessions(found: &[Dependency]) -> Vec<String> {
    let sessions = found
        .iter()
        .filter(|one| matches!(one.need, Need::Ssh { .. }));
    let mut addresses: Vec<_> = sessions.map(|one| one.address.to_string()).collect();
    addresses.dedup();
    addresses
}

fn write_file(file: &Path, text: &str) -> anyhow::Result<()> {
    let failed = || format!("cannot write {}", file.display());
    if let Some(directory) = file.parent() {
        std::fs::create_dir_all(directory).with_context(failed)?;
    }
    replace(file, &[text.as_bytes()]).with_context(failed)
}

/// Runs `geofence check`.
fn check_policy(file: &Path, out: &mut dyn Write) -> anyhow::Result<bool> {
    let outcome = check::check(&check::Arguments::of(file), out)?;
    writeln!(out)?;
    Ok(outcome == Outcome::Yes)
}

/// Runs `geofence doctor` for each interface. A machine on which the filter would not work is no error here, because
/// the file is written and the report says what to do.
fn check_machine(interfaces: &[String], out: &mut dyn Write) -> anyhow::Result<bool> {
    let mut is_fit = true;
    for interface in interfaces {
        match doctor::doctor(&doctor::Arguments::of(interface), out) {
            Ok(outcome) => is_fit &= outcome == Outcome::Yes,
            Err(error) => {
                writeln!(out, "{error:#}")?;
                is_fit = false;
            }
        }
    }
    writeln!(out)?;
    Ok(is_fit)
}

/// Reports what the policy would cut off.
fn check_lockout(
    config: Config,
    runtime: &tokio::runtime::Runtime,
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    let (required, unknown) = runtime.block_on(lockout::dependencies(&config.interfaces, None));
    for sentence in &unknown {
        writeln!(out, "{sentence}")?;
    }
    let prepared = prepare(config)?;
    let replies = Replies::of(&prepared.config.policy);
    let cut = lockout::cut_off(&required, prepared.image.words(), replies);
    if cut.is_empty() {
        writeln!(
            out,
            "lock-out     the policy cuts off none of the {} peers that this machine depends on\n",
            required.len()
        )?;
        return Ok(true);
    }
    writeln!(out, "{}\n", Lockout(cut))?;
    Ok(false)
}

/// The command that watches, and the one that enforces.
fn write_commands(file: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    let is_default = file == Path::new(DEFAULT_FILE);
    let run = if is_default {
        "geofence run".to_owned()
    } else {
        format!("geofence run --config {}", file.display())
    };
    let has_unit = UNITS.iter().any(|unit| Path::new(unit).exists());
    let enforce = if is_default && has_unit {
        "systemctl enable --now geofence"
    } else {
        &run
    };
    writeln!(out, "watch        {run} --mode monitor")?;
    writeln!(
        out,
        "             drops nothing and counts what it would drop; Ctrl-C ends it"
    )?;
    writeln!(out, "enforce      {enforce}")?;
    Ok(())
}
