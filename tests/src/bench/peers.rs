//! Part three: every filter on the same path, from a sender on the same core.
//!
//! ```text
//! sender namespace            receiver namespace, one for each filter
//! send_v4 --redirect--> peer0 ---- veth ----> edge0: the filter drops
//! ```
//!
//! The frames are whole and alive, their sources drawn from what is blocked. A sample is the time from the first frame
//! to the last as the kernel takes it, the sender included. What was sent, what arrived, what was dropped and what the
//! filter counted must be the same number, or the filter's row is left out.

use anyhow::{Context as _, Result};
use geofence_common::action::{Action, Reason};
use geofence_common::maps::name;
use geofence_tests::link::{self, Link, Pair, edge_mac};
use geofence_tests::namespace::Namespace;
use ipnet::Ipv4Net;

use crate::cases::{self, Case};
use crate::netfilter::Peer;
use crate::plan::Plan;
use crate::program::BLOCKED_V4;
use crate::report::{Cell, Report, Table, Unit};
use crate::rig::{Cursor, Rig, program};
use crate::sample::{Samples, rounds};
use crate::sets::Family;

/// A filter at the end of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    BareDrop,
    /// geofence as this rig has it, and whether with the kernel's trie.
    Geofence {
        rig: usize,
        is_lpm: bool,
    },
    Peer(Peer),
}

impl Filter {
    pub(crate) const GEOFENCE: Self = Self::Geofence {
        rig: 0,
        is_lpm: false,
    };

    const ALL: [Self; 6] = [
        Self::BareDrop,
        Self::GEOFENCE,
        Self::Geofence {
            rig: 1,
            is_lpm: true,
        },
        Self::Peer(Peer::NftIngress),
        Self::Peer(Peer::NftRaw),
        Self::Peer(Peer::IpsetRaw),
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::BareDrop => "bare XDP_DROP",
            Self::Geofence { is_lpm: false, .. } => "geofence",
            Self::Geofence { is_lpm: true, .. } => "geofence, lpm-trie",
            Self::Peer(peer) => peer.name(),
        }
    }

    /// Frames in a sample: about as long for each, for the slow would otherwise take all the time.
    pub(crate) const fn frames(self, plan: &Plan) -> u32 {
        if plan.smoke {
            return 2_000;
        }
        match self {
            Self::BareDrop | Self::Geofence { is_lpm: false, .. } => 1_000_000,
            Self::Geofence { is_lpm: true, .. } => 300_000,
            Self::Peer(_) => 100_000,
        }
    }
}

/// What is known about frames after a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    arrived: u64,
    dropped: u64,
    counted: u64,
}

/// A filter and the way to it.
pub(crate) struct Path {
    filter: Filter,
    pair: Pair,
    number: u8,
    /// The number of the sender's interface.
    interface: u32,
    /// Why its row is left out.
    pub(crate) refused: Option<String>,
}

/// Measures every filter; the sets of part two start at `first` among those of the rigs.
pub(crate) fn measure(
    plan: &Plan,
    rigs: &mut [Rig; 2],
    first: usize,
    report: &mut Report,
) -> Result<()> {
    let blocked = blocked_prefixes(plan);
    let sets = BLOCKED_V4.map(|(set, _)| first + set);
    let (paths, samples) = race(plan, rigs, &sets, &blocked)?;
    for path in &paths {
        report.refused.extend(path.refused.clone());
    }
    tables(&paths, blocked.len(), &samples, report);
    Ok(())
}

/// Times every filter over each of these sets of the first rig, which sends; answers by set and by filter.
fn race(
    plan: &Plan,
    rigs: &mut [Rig],
    sets: &[usize],
    blocked: &[Ipv4Net],
) -> Result<(Vec<Path>, Vec<Vec<Samples>>)> {
    let sender = Namespace::new()?;
    let mut paths = Vec::new();
    for (number, filter) in (0..).zip(&Filter::ALL) {
        paths.push(
            path(&sender, number, *filter, rigs, blocked)
                .with_context(|| filter.name().to_owned())?,
        );
    }
    let case = cases::blocked_datagram(Family::V4);
    let mut samples = Vec::new();
    for set in sets {
        samples.push(rounds(paths.len(), paths.len(), plan.rounds, |one| {
            let path = &mut paths[one];
            let frames = path.filter.frames(plan);
            sample(rigs, &sender, path, &case, *set, frames)
        })?);
    }
    Ok((paths, samples))
}

/// Prefixes of the countries that are blocked, as few as say the same.
pub(crate) fn blocked_prefixes(plan: &Plan) -> Vec<Ipv4Net> {
    let policy = &plan.prepared.config.policy;
    let blocked = plan
        .prepared
        .database
        .prefixes_v4()
        .iter()
        .filter_map(|(net, country)| {
            policy
                .blocks(geofence_common::image::class::Class::of_country(*country))
                .then_some(*net)
        });
    Ipv4Net::aggregate(&blocked.collect())
}

/// Joins a receiver to the sender and sets its filter up.
pub(crate) fn path(
    sender: &Namespace,
    number: u8,
    filter: Filter,
    rigs: &mut [Rig],
    blocked: &[Ipv4Net],
) -> Result<Path> {
    let receiver = Namespace::new()?;
    let pair = Link::default()
        .number(number)
        .unaddressed()
        .connect(sender, &receiver)?;
    let edge = &pair.edge_interface;
    match filter {
        Filter::BareDrop => rigs[0].attach(program::DROP, &receiver, edge)?,
        Filter::Geofence { rig, .. } => rigs[rig].attach(name::PROGRAM, &receiver, edge)?,
        Filter::Peer(peer) => {
            link::receive_offload(&receiver, edge)?;
            peer.install(&receiver, edge, blocked)?;
        }
    }
    let name = pair.peer_interface.clone();
    let interface = sender.enter(|| nix::net::if_::if_nametoindex(name.as_str()))??;
    Ok(Path {
        filter,
        pair,
        number,
        interface,
        refused: None,
    })
}

/// Sends one sample's frames, from the sources of this set, and returns the nanoseconds each took.
pub(crate) fn sample(
    rigs: &mut [Rig],
    sender: &Namespace,
    path: &mut Path,
    case: &Case,
    set: usize,
    frames: u32,
) -> Result<f64> {
    let before = tally(rigs, path)?;
    rigs[0].aim(&Cursor {
        set,
        source: case.source,
        interface: path.interface,
    })?;
    let rig = &mut rigs[0];
    let mut frame = case.frame.clone();
    frame[..6].copy_from_slice(&edge_mac(path.number));
    let spent =
        sender.enter(|| rig.send(program::SEND[case.family as usize], &frame, frames))??;
    let sent = rigs[0].taken()?;
    let after = tally(rigs, path)?;
    let found = Tally {
        arrived: after.arrived - before.arrived,
        dropped: after.dropped - before.dropped,
        counted: after.counted - before.counted,
    };
    if found
        != (Tally {
            arrived: sent,
            dropped: sent,
            counted: sent,
        })
    {
        path.refused = Some(format!(
            "{}: {sent} frames sent and {found:?}",
            path.filter.name()
        ));
    }
    Ok(spent.as_nanos() as f64)
}

/// What driver and filter have counted so far.
fn tally(rigs: &mut [Rig], path: &Path) -> Result<Tally> {
    let (arrived, dropped) = link::arrived(&path.pair.edge, &path.pair.edge_interface)?;
    Ok(match path.filter {
        // It counts nothing; the driver does.
        Filter::BareDrop => Tally {
            arrived,
            dropped,
            counted: dropped,
        },
        Filter::Geofence { rig, .. } => {
            let counters = rigs[rig].filter().counters(0)?;
            let counted = counters.iter().filter(|((country, action, reason), _)| {
                *reason == Reason::CountryBlocked
                    && *action == Action::Drop
                    && country.code().is_some()
            });
            Tally {
                arrived,
                dropped,
                counted: counted.map(|(_, counter)| counter.packets).sum(),
            }
        }
        Filter::Peer(peer) => {
            let (counted, passed) = peer.counters(&path.pair.edge)?;
            Tally {
                arrived,
                dropped: arrived - passed,
                counted,
            }
        }
    })
}

fn tables(paths: &[Path], blocked: usize, samples: &[Vec<Samples>], report: &mut Report) {
    let columns = BLOCKED_V4.map(|(_, name)| name);
    let title =
        format!("Dropping a frame on a veth path, {blocked} blocked prefixes, sender included");
    let mut table = Table::new("peers", title, &columns);
    let mut ratios = Table::new("peers_ratios", "The same, in bare drops", &columns);
    for (at, path) in paths
        .iter()
        .enumerate()
        .filter(|(_, path)| path.refused.is_none())
    {
        let name = path.filter.name();
        table.row(
            name,
            samples
                .iter()
                .map(|set| Cell::new(Unit::Nanoseconds, set[at].clone()))
                .collect(),
        );
        let ratio =
            |set: &Vec<Samples>| Cell::once(Unit::Times, set[at].median() / set[0].median());
        ratios.row(name, samples.iter().map(ratio).collect());
    }
    let times = |more: &str, less: &str, column: &str| {
        Some(table.median(more, column)? / table.median(less, column)?)
    };
    let [bare, geofence] = [Filter::BareDrop, Filter::GEOFENCE].map(Filter::name);
    let [uniform, prefix] = columns;
    let found = [
        (
            "Dropping by country against a bare XDP_DROP, uniform",
            true,
            1.35,
            times(geofence, bare, uniform),
        ),
        (
            "Dropping by country against a bare XDP_DROP, table prefix",
            true,
            1.5,
            times(geofence, bare, prefix),
        ),
        (
            "Packets dropped against nftables ingress, uniform",
            false,
            6.0,
            times(Peer::NftIngress.name(), geofence, uniform),
        ),
        (
            "Packets dropped against ipset, uniform",
            false,
            8.0,
            times(Peer::IpsetRaw.name(), geofence, uniform),
        ),
    ];
    report.tables.extend([table.clone(), ratios]);
    for (what, at_most, wanted, found) in found {
        report.target(what, at_most, wanted, Unit::Times, found);
    }
}
