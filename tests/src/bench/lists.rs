//! Part six: a list of a million single addresses, and of five.
//!
//! First what it costs a packet: look-ups with the list and without, over the same addresses, none of which is on it.
//! Then what it costs the machine: the image, and a daemon that reads the list from a file.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use geofence_common::address::{Address, SPECIAL_USE_V4};
use geofence_common::image::{Lookup as _, Words as _};
use geofence_tests::daemon::Daemon;
use geofence_tests::edge::{Edge, PATIENCE};
use geofence_tests::oracle::{Draw, Oracle};
use geofence_user::data::geoip::Database;
use geofence_user::model::list::{Action, Direction};
use geofence_user::model::listing::{Entries, Entry, Listing, Place};
use geofence_user::prepare::Prepared;
use ipnet::{IpNet, Ipv4Net};

use crate::growth::grouped;
use crate::plan::Plan;
use crate::report::{Cell, Report, Table, Unit};
use crate::rig::{Cursor, FRAME_MIN, everywhere, program};
use crate::sample::rounds;
use crate::sets::{Distribution, Family, Set};
use crate::stage::Stage;
use crate::verify;

/// The sets of each family.
const DRAWN: [Distribution; 3] = [
    Distribution::Uniform,
    Distribution::Prefix,
    Distribution::Zipf,
];
/// What a list of a million may cost a look-up, and in MiB the image.
const WANTED: f64 = 2.5;
const WANTED_MIB: f64 = 128.0;

/// Addresses on the lists that are looked at more closely, and on the longest.
pub(crate) const fn sizes(smoke: bool) -> [usize; 2] {
    if smoke {
        [2_000, 10_000]
    } else {
        [1_000_000, 5_000_000]
    }
}

pub(crate) fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let [million, _] = sizes(plan.smoke);
    // Without the list, and with one of each family.
    let mut policies = vec![plan.variant(None, |_| ())?];
    for family in Family::BOTH {
        let addresses = addresses(&plan.prepared.database, family, million, 41)?;
        policies.push(plan.variant(None, |policy| policy.lists = vec![listing(&addresses)])?);
    }
    lookups(plan, million, &policies, report)?;
    drop(policies);
    everywhere(|| daemons(plan, report))
}

/// Different addresses that a list may have: of IPv4 any, of IPv6 any in a prefix of the table.
pub(crate) fn addresses(
    database: &Database,
    family: Family,
    count: usize,
    seed: u64,
) -> Result<Vec<IpNet>> {
    let mut draw = Draw::new(seed);
    let special: Vec<Ipv4Net> = SPECIAL_USE_V4
        .iter()
        .map(|(base, length)| Ipv4Net::new((*base).into(), *length))
        .collect::<Result<_, _>>()?;
    let mut all = std::collections::HashSet::with_capacity(count);
    while all.len() < count {
        match family {
            Family::V4 => {
                let address = std::net::Ipv4Addr::from_bits(draw.long() as u32);
                if !special.iter().any(|net| net.contains(&address)) {
                    all.insert(IpNet::from(std::net::IpAddr::V4(address)));
                }
            }
            Family::V6 => {
                let prefix = draw.one_of(database.prefixes_v6());
                let (net, _) = prefix.context("there is no IPv6")?;
                // Neither an address of special-use space nor one that carries an IPv4 address may be on a list.
                let bits = net.network().to_bits() | draw.long() & u128::from(net.hostmask());
                if bits >> 125 == 1 && bits >> 112 != 0x2002 && bits >> 105 != 0x2001_0000 >> 9 {
                    all.insert(IpNet::from(std::net::IpAddr::V6(bits.into())));
                }
            }
        }
    }
    let mut all: Vec<_> = all.into_iter().collect();
    all.sort_unstable();
    Ok(all)
}

/// The list of these addresses.
pub(crate) fn listing(addresses: &[IpNet]) -> Listing {
    let entries = addresses.iter().zip(1..).map(|(net, line)| Entry {
        net: *net,
        place: Place { line, column: 1 },
        expires: None,
    });
    let entries = Entries::new(entries.collect());
    Listing::new("listed", Action::Block, Direction::In, entries)
}

/// Look-ups of addresses that are on no list, without one and with one of their family.
fn lookups(plan: &Plan, million: usize, policies: &[Prepared], report: &mut Report) -> Result<()> {
    let with = |family: Family| 1 + family as usize;
    let mut sets = Vec::new();
    for family in Family::BOTH {
        let words = policies[with(family)].image.words();
        let is_listed = |address: &Address| {
            let found = words
                .class_lookup(address)
                .and_then(|at| words.class_at(at));
            found.is_none_or(|class| class.is_denied())
        };
        for (seed, distribution) in (51..).zip(DRAWN) {
            let database = &plan.prepared.database;
            let mut set = Set::draw(database, family, distribution, plan.set_size, seed)?;
            set.replace(is_listed);
            sets.push(set);
        }
    }
    let mut stage = Stage::build(policies, &sets)?;
    for (number, set) in sets.iter().enumerate() {
        let with = with(set.family);
        let prepared = &policies[with];
        let oracle = Oracle::new(&prepared.config.policy, &prepared.database);
        verify::classes(
            &plan.oracle,
            stage.with(0)?,
            number,
            set,
            "without the list",
        )?;
        verify::classes(&oracle, stage.with(with)?, number, set, "with the list")?;
    }
    let samples = stage.everywhere(plan.places(), |stage| {
        rounds(sets.len() * 3, 3, plan.place_rounds(), |one| {
            let (set, turn) = (one / 3, one % 3);
            let family = sets[set].family;
            let rig = stage.with(if turn == 2 { with(family) } else { 0 })?;
            rig.aim(&Cursor {
                set,
                source: 0,
                interface: 0,
            })?;
            let program = if turn == 0 {
                program::FETCH[family as usize]
            } else {
                program::LOOKUP[family as usize]
            };
            rig.cost(program, &[0; FRAME_MIN], plan.set_size)
        })
    })?;
    let title = format!(
        "One look-up, over a program that only takes the address, with a list of {} addresses of the family",
        grouped(million)
    );
    let mut table = Table::new("lists_lookup", title, &["without", "with", "ratio"]);
    let (samples, _) = samples.as_chunks::<3>();
    for ((number, set), [fetch, without, with]) in sets.iter().enumerate().zip(samples) {
        let (without, with) = (without.less(fetch), with.less(fetch));
        let ratio = with.over(&without);
        let name = format!(
            "{} {}",
            set.family.name(),
            DRAWN[number % DRAWN.len()].name()
        );
        report.target(
            &format!("{name} look-up with a list of a million against without"),
            true,
            WANTED,
            Unit::Times,
            Some(ratio.median()),
        );
        table.row(
            name,
            vec![
                Cell::new(Unit::Nanoseconds, without),
                Cell::new(Unit::Nanoseconds, with),
                Cell::new(Unit::Times, ratio),
            ],
        );
    }
    report.tables.push(table);
    Ok(())
}

/// Daemons that read a list from a file: how large the image is, how soon the list is live, what memory that takes.
fn daemons(plan: &Plan, report: &mut Report) -> Result<()> {
    let [million, five] = sizes(plan.smoke);
    let columns = [
        "image",
        "beyond the world",
        "ready in",
        "file to live",
        "peak",
        "resident",
    ];
    let mut table = Table::new(
        "lists_daemon",
        "The daemon with a list of single addresses; the image is one of two",
        &columns,
    );
    let world = plan.prepared.image.size();
    let rows = [
        ("no list".to_owned(), [0, 0]),
        (format!("{} of IPv4", grouped(million)), [million, 0]),
        (format!("{} of IPv6", grouped(million)), [0, million]),
        (
            format!("{}, half IPv6", grouped(five)),
            [five - five / 2, five / 2],
        ),
    ];
    for (name, counts) in rows {
        let found = daemon(plan, counts).with_context(|| format!("with {name}"))?;
        let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let beyond = mebibytes(found.image.saturating_sub(world as u64));
        table.row(
            name.clone(),
            vec![
                Cell::once(Unit::Mebibytes, mebibytes(found.image)),
                Cell::once(Unit::Mebibytes, beyond),
                Cell::once(Unit::Milliseconds, found.ready),
                Cell::once(Unit::Milliseconds, found.live),
                Cell::once(Unit::Mebibytes, mebibytes(found.peak)),
                Cell::once(Unit::Mebibytes, mebibytes(found.resident)),
            ],
        );
        if counts.iter().sum::<usize>() == million {
            report.target(
                &format!("A list of {name} addresses, beyond the world image"),
                true,
                WANTED_MIB,
                Unit::Mebibytes,
                Some(beyond),
            );
        }
    }
    report.tables.push(table);
    Ok(())
}

/// What a daemon came to.
struct Found {
    image: u64,
    ready: f64,
    live: f64,
    peak: u64,
    resident: u64,
}

fn daemon(plan: &Plan, counts: [usize; 2]) -> Result<Found> {
    let folder = tempfile::tempdir()?;
    let (settings, list) = (
        folder.path().join("geofence.toml"),
        folder.path().join("list"),
    );
    let is_there = counts != [0, 0];
    let mut text = String::new();
    if is_there {
        write!(
            text,
            "[[list]]\nname = \"listed\"\nfile = \"{}\"\nformat = \"plain\"\naction = \"block\"\ndirection = \"in\"\n",
            list.display()
        )?;
    }
    fs::write(&settings, text)?;
    let put = |seed| -> Result<Option<IpNet>> {
        let mut text = String::new();
        let mut last = None;
        for (family, count) in Family::BOTH.into_iter().zip(counts) {
            for net in addresses(&plan.prepared.database, family, count, seed)? {
                writeln!(text, "{}", net.addr())?;
                let is_open = !plan.class(&Address::from(net.addr())).is_blocked();
                last = if is_open { Some(net) } else { last };
            }
        }
        if is_there {
            // What is watched must not be seen half written.
            let new = folder.path().join("new");
            fs::write(&new, text)?;
            fs::rename(&new, &list)?;
        }
        Ok(last)
    };
    put(42)?;
    let edge = Edge::new()?;
    let begun = Instant::now();
    let path = settings
        .to_str()
        .context("a folder whose name is no text")?;
    let daemon = run(&edge, path, plan)?;
    let ready = begun.elapsed().as_secs_f64() * 1e3;
    let listed = put(43)?.map(|net| net.addr().to_string());
    if let Some(listed) = &listed {
        ensure!(
            edge.passes(listed)?,
            "{listed} is dropped and on no list yet"
        );
    }
    let begun = Instant::now();
    let answer = edge.ask(&["reload"])?;
    let live = begun.elapsed().as_secs_f64() * 1e3;
    ensure!(answer.code == Some(0), "{answer:?}\n{}", daemon.stderr());
    if let Some(listed) = &listed {
        ensure!(!edge.passes(listed)?, "{listed} passes and is on the list");
    }
    let found = Found {
        image: fs::metadata(edge.state().join("image"))?.len(),
        ready,
        live,
        peak: daemon.peak()?,
        resident: daemon.resident()?,
    };
    daemon.interrupt(PATIENCE)?;
    Ok(found)
}

/// Starts a daemon by this configuration and the plan's data.
pub(crate) fn run(edge: &Edge, settings: &str, plan: &Plan) -> Result<Daemon> {
    let mut words = vec!["--config", settings];
    for database in &plan.prepared.config.databases {
        words.extend(["--database", path_text(database)?]);
    }
    edge.run(&words)
}

fn path_text(path: &Path) -> Result<&str> {
    path.to_str()
        .with_context(|| format!("{} is no text", path.display()))
}
