//! What it costs to protect several interfaces: frames by turns into one, two and four of them, each with counters of
//! its own.

use anyhow::{Result, ensure};
use geofence_common::maps::name;
use geofence_tests::link::{self, Link, Pair, edge_mac};
use geofence_tests::namespace::Namespace;
use geofence_user::model::filter_options::FilterOptions;
use geofence_user::model::policy::Lookup;
use nix::net::if_::if_nametoindex;

use crate::cases;
use crate::plan::Plan;
use crate::program::{self as parts, BLOCKED_V4};
use crate::report::{Cell, Report, Table, Unit};
use crate::rig::{Cursor, Rig, own_room, program};
use crate::sample::rounds;
use crate::sets::Family;

const COUNTS: [u32; 3] = [1, 2, 4];

pub(crate) fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let sets = parts::sets(plan)?;
    let room = FilterOptions {
        interfaces: COUNTS[2],
        ..own_room(&plan.prepared)
    };
    let mut rig = Rig::with_room(room, &plan.prepared, Lookup::ArrayTrie, &sets)?;
    let (sender, receiver) = (Namespace::new()?, Namespace::new()?);
    let mut pairs = Vec::new();
    let mut first = None;
    for (number, slot) in (0..).zip(1..=COUNTS[2]) {
        let link = Link::default().number(number).unaddressed();
        let pair = link.connect(&sender, &receiver)?;
        rig.attach(name::PROGRAM, &receiver, &pair.edge_interface)?;
        let (near, far) = (pair.peer_interface.as_str(), pair.edge_interface.as_str());
        let index = receiver.enter(|| if_nametoindex(far))??;
        rig.count_apart(index, slot)?;
        let index = sender.enter(|| if_nametoindex(near))??;
        ensure!(
            *first.get_or_insert(index) + u32::from(number) == index,
            "the senders' interfaces are not numbered one after the other"
        );
        pairs.push(pair);
    }
    let case = cases::blocked_datagram(Family::V4);
    let mut frame = case.frame.clone();
    frame[..6].copy_from_slice(&edge_mac(0));
    let frames = if plan.smoke { 2_000 } else { 1_000_000 };
    let samples = rounds(
        BLOCKED_V4.len() * COUNTS.len(),
        COUNTS.len(),
        plan.rounds,
        |one| {
            let (set, _) = BLOCKED_V4[one / COUNTS.len()];
            let cursor = Cursor {
                set,
                source: case.source,
                interface: first.unwrap_or(0),
            };
            let before = dropped(&pairs)?;
            rig.spread(&cursor, COUNTS[one % COUNTS.len()])?;
            let spent = sender.enter(|| rig.send(program::SEND[0], &frame, frames))??;
            let (sent, dropped) = (rig.taken()?, dropped(&pairs)? - before);
            ensure!(sent == dropped, "{sent} frames sent and {dropped} dropped");
            Ok(spent.as_nanos() as f64)
        },
    )?;
    let mut table = Table::new(
        "interfaces",
        "Dropping a frame on a veth path, sender included; frames into several interfaces by turns",
        &BLOCKED_V4.map(|(_, name)| name),
    );
    for (at, count) in COUNTS.into_iter().enumerate() {
        let plural = if count == 1 { "" } else { "s" };
        let cells = samples.chunks(COUNTS.len());
        let cells = cells.map(|set| Cell::new(Unit::Nanoseconds, set[at].clone()));
        table.row(format!("{count} interface{plural}"), cells.collect());
    }
    report.tables.push(table);
    Ok(())
}

/// What the drivers of the receiving ends count as dropped.
fn dropped(pairs: &[Pair]) -> Result<u64> {
    let each = pairs
        .iter()
        .map(|pair| Ok(link::arrived(&pair.edge, &pair.edge_interface)?.1));
    each.sum()
}
