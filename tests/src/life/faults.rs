//! Failing calls: every bpf() call of a start over a filter in place, of a reload, of a trial and of a grant fails,
//! and what filters is the old filter or the new one, whole.
//!
//! A failure may be harmless (the library asks the kernel what it can, and does without); then the new filter must be
//! in place. Otherwise the daemon says which call it was, and nothing has changed: the programs, the links that hold
//! them, the pins. Whether packets pass and are dropped meanwhile is the traffic's business, which goes on all along.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result, ensure};
use nix::errno::Errno;
use nix::sys::signal::Signal;

use super::damage;
use super::found::Found;
use super::site::{SIDES, Site};
use geofence_user::kernel::{PinnedIds, Pins};
use geofence_user::os::instance::Instance;

use crate::daemon::{Daemon, geofence};
use crate::edge::{Answer, LISTEN, PATIENCE};
use crate::supervisor::{Fault, Supervisor};

/// The exit codes of trouble with the kernel, and of a missing privilege.
const CODES: [i32; 2] = [2, 77];

/// What calls fail with.
const ERRNOS: [Errno; 4] = [Errno::ENOMEM, Errno::EPERM, Errno::EBUSY, Errno::E2BIG];

/// What a start says when everything is in place.
const READY: &str = "ready: ";

/// Calls by which the library finds out what the kernel can, one that names programs for operators, and one
/// by which counters of former lists are found: their failure may change what is said, and nothing else.
const ASKING: [&str; 9] = [
    "BPF_MAP_CREATE",
    "BPF_PROG_LOAD",
    "BPF_BTF_LOAD",
    "BPF_OBJ_GET_INFO_BY_FD",
    "BPF_LINK_CREATE",
    "BPF_PROG_GET_NEXT_ID",
    "BPF_PROG_GET_FD_BY_ID",
    "BPF_MAP_LOOKUP_ELEM",
    "BPF_MAP_GET_NEXT_KEY",
];

/// Calls that a change makes when it is in place, for its answer and to tidy up; and the one by which the daemon looks
/// after the egress program, each second and not for a change.
const READING: [&str; 5] = [
    "BPF_OBJ_GET",
    "BPF_OBJ_GET_INFO_BY_FD",
    "BPF_MAP_LOOKUP_ELEM",
    "BPF_MAP_LOOKUP_BATCH",
    "BPF_MAP_GET_NEXT_KEY",
];

/// Whether a failure may heal: want of memory for an element of a table passes, and is waited out.
fn heals(fault: &Fault) -> bool {
    fault.call == "BPF_MAP_UPDATE_ELEM" && fault.errno == Errno::ENOMEM as i32
}

/// What is in the kernel of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Standing {
    program: Option<u64>,
    /// By their pins' names.
    links: BTreeMap<String, PinnedIds>,
    pins: Vec<String>,
}

/// How it went, added up.
#[derive(Debug, Default)]
struct Tally {
    /// Faults that were asked for and did not come, as the call was not made.
    absent: usize,
    refused: usize,
    /// Calls by which a change that is in place is read back and tidied up.
    read_back: usize,
    /// Other calls that failed without harm.
    harmless: usize,
    wrong: Vec<String>,
}

/// Has calls fail with the first so many of the errors; with one of them, a call of each kind and not every one.
pub(super) fn each_call(site: &mut Site, errnos: u32) -> Result<Found> {
    let errnos = &ERRNOS[..(errnos as usize).min(ERRNOS.len())];
    let is_short = errnos.len() == 1;
    let mut tally = Tally::default();
    // The small database: a start reads it in no time.
    fs::write(site.path("countries.mmdb"), damage::database())?;
    configure(site, "array-trie")?;
    let forced = site.edge.ask(&["reload", "--json", "--force"])?;
    ensure!(forced.code == Some(0), "{forced:?}");
    stop(site.daemon.take().context("no daemon")?)?;
    starts(site, errnos, is_short, &mut tally)?;
    changes(site, errnos, is_short, &mut tally)?;
    // Back to where the other steps leave it.
    site.configure()?;
    let restored = site.start();
    ensure!(restored.is_ok(), "{restored:?}");
    let Tally {
        absent,
        refused,
        read_back,
        harmless,
        ..
    } = tally;
    let mut found = Found::note(format!(
        "{refused} calls failed and were named, {harmless} harmlessly, {read_back} after the change, {absent} were not \
         made"
    ));
    found.faults = tally.wrong;
    // A supervisor that had nothing fail would see nothing wrong.
    found.expect(refused > absent + harmless, || {
        "expected that more than half of the calls are refused and named".to_owned()
    });
    Ok(found)
}

/// The sentinels as they are, by the small database.
fn configure(site: &Site, lookup: &str) -> Result<()> {
    let text = format!(
        "block = [\"CN\", \"{}\"]\ndatabases = [\"countries.mmdb\"]\nlookup = \"{lookup}\"\n",
        SIDES[site.side]
    );
    Ok(fs::write(site.path("geofence.toml"), text)?)
}

/// The calls that are to fail, each with how many of its kind come before, and with each of the errors.
fn chosen(calls: &[&'static str], errnos: &[Errno], is_short: bool) -> Vec<Fault> {
    let mut seen: BTreeMap<&'static str, usize> = BTreeMap::new();
    let mut all = Vec::new();
    for call in calls {
        let before = seen.entry(call).or_default();
        all.push((*call, *before));
        *before += 1;
    }
    // The last of a kind is made when there is most to lose; the first ones are questions.
    all.retain(|(call, before)| !is_short || seen.get(call) == Some(&(before + 1)));
    let with_each = |(call, after)| {
        let errnos = errnos.iter().map(|errno| *errno as i32);
        errnos.map(move |errno| Fault { call, after, errno })
    };
    all.into_iter().flat_map(with_each).collect()
}

/// A fault as the report calls it.
fn named(fault: &Fault, of: &str) -> String {
    let Fault { call, after, errno } = fault;
    format!("{call} {after} of {of}, with {}", Errno::from_raw(*errno))
}

fn starts(site: &Site, errnos: &[Errno], is_short: bool, tally: &mut Tally) -> Result<()> {
    let (mut daemon, supervisor) = start(site, None)?;
    daemon.wait_line(READY, PATIENCE)?;
    let calls = supervisor.calls();
    stop(daemon)?;
    let mut before = standing(site)?;
    for fault in chosen(&calls, errnos, is_short) {
        let call = fault.call;
        let (mut daemon, supervisor) = start(site, Some(fault))?;
        let ready = daemon.wait_line(READY, PATIENCE);
        let case = named(&fault, "a start");
        if ready.is_ok() {
            if supervisor.has_failed() {
                tally.harmless += 1;
            } else {
                tally.absent += 1;
            }
            let after = standing(site)?;
            if supervisor.has_failed() && !ASKING.contains(&call) && !heals(&fault) {
                tally.wrong.push(format!(
                    "{case}: expected that the start names it, but it did not"
                ));
            }
            if after.pins != before.pins
                || after.links_alone() != before.links_alone()
                || !after.is_all_new_after(&before)
            {
                tally.wrong.push(format!(
                    "{case}: expected the same pins and links as {before:?} with new programs, but {after:?}"
                ));
            }
            stop(daemon)?;
            before = standing(site)?;
            continue;
        }
        let ended = daemon.wait(PATIENCE)?;
        let after = standing(site)?;
        if !CODES.map(Some).contains(&ended.status.code())
            || !ended.stderr.contains(call)
            || after != before
        {
            tally.wrong.push(format!(
                "{case}: expected an exit code of {CODES:?}, {call} in the message and {before:?} in the kernel, \
                 but {}, {} and {after:?}",
                ended.status, ended.stderr
            ));
            before = after;
        } else {
            tally.refused += 1;
        }
    }
    Ok(())
}

impl Standing {
    /// The links without the programs behind them.
    fn links_alone(&self) -> Vec<(&str, u32)> {
        let links = self.links.iter();
        links
            .map(|(name, held)| (name.as_str(), held.link))
            .collect()
    }

    /// Whether none of the programs is one of before.
    fn is_all_new_after(&self, before: &Self) -> bool {
        let old: Vec<u32> = before.links.values().map(|held| held.program).collect();
        self.program != before.program
            && self.links.values().all(|held| !old.contains(&held.program))
    }
}

/// What a running daemon is asked to do, and what undoes it.
const CHANGES: [(&[&str], Option<&[&str]>); 3] = [
    (&["reload", "--json"], None),
    (
        &["apply", "--json", "--confirm-within", "10m"],
        Some(&["revert", "--json"]),
    ),
    (
        &[
            "exception",
            "add",
            "fault-1",
            "--json",
            "--from",
            "77.88.8.9",
            "--to",
            "any",
            "--proto",
            "tcp",
            "--port",
            "22",
            "--expires",
            "1h",
            "--owner",
            "lab",
            "--reason",
            "a fault",
        ],
        Some(&["exception", "remove", "--json", "fault-1"]),
    ),
];

/// What a running daemon does when it is asked for it, by both ways of looking addresses up.
fn changes(site: &Site, errnos: &[Errno], is_short: bool, tally: &mut Tally) -> Result<()> {
    for lookup in ["array-trie", "lpm-trie"] {
        configure(site, lookup)?;
        let (mut daemon, supervisor) = start(site, None)?;
        daemon.wait_line(READY, PATIENCE)?;
        for (change, undo) in CHANGES {
            let done = |answer: Answer| {
                ensure!(answer.code == Some(0), "{answer:?}");
                Ok(())
            };
            supervisor.begin(None);
            done(site.edge.ask(change)?)?;
            let calls = supervisor.calls();
            if let Some(undo) = undo {
                done(site.edge.ask(undo)?)?;
            }
            ensure!(!calls.is_empty(), "{change:?} made no call");
            let before = standing(site)?;
            let mut was_in_force = in_force(site)?;
            for fault in chosen(&calls, errnos, is_short) {
                let call = fault.call;
                supervisor.begin(Some(fault));
                let answer = site.edge.ask(change)?;
                let has_failed = supervisor.has_failed();
                supervisor.begin(None);
                let said = format!("{}{}", answer.stdout, answer.stderr);
                let is_as_before = standing(site)? == before
                    && (answer.code == Some(0) || in_force(site)? == was_in_force);
                match answer.code {
                    Some(1) if has_failed && said.contains(call) && is_as_before => {
                        tally.refused += 1;
                    }
                    Some(0) if has_failed && READING.contains(&call) && is_as_before => {
                        tally.read_back += 1;
                    }
                    Some(0) if has_failed && heals(&fault) && is_as_before => tally.harmless += 1,
                    // How many calls it takes to empty a trie depends on what is in it.
                    Some(0) if !has_failed => tally.absent += 1,
                    _ => tally.wrong.push(format!(
                        "{}: expected that it is refused, named and changes nothing, but {answer:?}, and all is as \
                         before: {is_as_before}",
                        named(&fault, &format!("{change:?} by {lookup}"))
                    )),
                }
                if answer.code == Some(0) {
                    if let Some(undo) = undo {
                        done(site.edge.ask(undo)?)?;
                    }
                    was_in_force = in_force(site)?;
                }
            }
        }
        stop(daemon)?;
    }
    Ok(())
}

fn start(site: &Site, fault: Option<Fault>) -> Result<(Daemon, Supervisor)> {
    let namespace = &site.edge.pair.edge;
    let mut command = geofence(namespace)?;
    command
        .args([
            "run",
            "--listen",
            LISTEN,
            "--interface",
            site.edge.interface(),
            "--config",
        ])
        .arg(site.path("geofence.toml"));
    Supervisor::spawn(namespace, command, fault)
}

fn stop(mut daemon: Daemon) -> Result<()> {
    daemon.signal(Signal::SIGTERM)?;
    let ended = daemon.wait(PATIENCE)?;
    ensure!(ended.status.code() == Some(0), "{}", ended.stderr);
    Ok(())
}

/// Which image filters, and how many are let in by exceptions.
fn in_force(site: &Site) -> Result<(u64, u64)> {
    let status = site.edge.ask(&["status", "--json"])?.json()?;
    ensure!(status["trial"].is_null(), "{status}");
    let number = |value: &serde_json::Value| value.as_u64().context("a number");
    Ok((
        number(&status["generation"])?,
        number(&status["exceptions"]["live"])?,
    ))
}

fn standing(site: &Site) -> Result<Standing> {
    let mut pins = Vec::new();
    for place in ["links", "tables-1"] {
        for entry in fs::read_dir(site.edge.pins().join(place))? {
            pins.push(entry?.path().display().to_string());
        }
    }
    pins.sort();
    let instance: Instance = site.edge.pair.edge.instance().parse()?;
    Ok(Standing {
        program: site.edge.program(site.edge.interface())?,
        links: Pins::of(&instance).pinned_ids()?,
        pins,
    })
}
