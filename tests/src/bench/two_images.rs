//! Rules in an image of their own, beside the world's: what a look-up in both costs, and what a change of rules then
//! costs, against one image that holds both.
//!
//! The image of rules is what the compiler makes of the rules and an empty database. The prototype is in the look-up
//! alone: no program judges by two images.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use geofence_common::image::{Lookup as _, Words as _};
use geofence_user::data::geoip::Database;
use geofence_user::model::filter_options::FilterOptions;
use geofence_user::model::policy::{Lookup, Policy};
use geofence_user::prepare::Prepared;

use crate::contestants::{DRAWN, size};
use crate::plan::Plan;
use crate::report::{Cell, Report, Table, Unit};
use crate::rig::{Cursor, FRAME_MIN, Rig, own_room, program};
use crate::sample::{Samples, rounds};
use crate::sets::Set;

/// A trial that ends after every benchmark: it is how the filter keeps two images in place.
const NEVER: u64 = u64::MAX - 1;

const COLUMNS: [&str; 2] = ["one image", "two images"];

/// Measures over the sets that rules do not name, which come first.
pub(crate) fn measure(
    plan: &Plan,
    sets: &[Set],
    lay: &dyn Fn(&mut Policy),
    name: &str,
    report: &mut Report,
) -> Result<()> {
    let bare = plan.variant(None, |_| ())?;
    let one = plan.variant(None, lay)?;
    let empty = || Database::from_prefixes(Vec::new(), Vec::new());
    let rules = plan.variant(Some(empty()), lay)?;
    let mut all: Vec<Samples> = Vec::new();
    for _ in 0..plan.places() {
        let mut rig = Rig::with_room(room(&one, &rules), &one, Lookup::ArrayTrie, sets)?;
        let here = race(plan, &mut rig, sets, [&bare, &one, &rules])?;
        all.resize(here.len(), Samples::default());
        for (samples, here) in all.iter_mut().zip(here) {
            samples.extend(here);
        }
    }
    let mut table = Table::new(
        "two_images",
        format!(
            "{name}: one look-up of a source that no rule names, over a program that only takes the address"
        ),
        &COLUMNS,
    );
    let (samples, _) = all.as_chunks::<3>();
    for ((_, _, from), [fetch, one, two]) in DRAWN.iter().zip(samples) {
        let cells = [one, two].map(|samples| Cell::new(Unit::Nanoseconds, samples.less(fetch)));
        table.row(*from, cells.into());
    }
    let mebibytes =
        [&one, &rules].map(|prepared| prepared.image.size() as f64 / f64::from(1 << 20));
    let cells = mebibytes.map(|size| Cell::once(Unit::Mebibytes, size));
    table.row("written for a change of rules", cells.into());
    let mut compiled = [Samples::default(), Samples::default()];
    for _ in 0..plan.rounds {
        for (samples, is_alone) in compiled.iter_mut().zip([false, true]) {
            let database = is_alone.then(empty);
            let begun = Instant::now();
            plan.variant(database, lay)?;
            samples.push(begun.elapsed().as_secs_f64() * 1e3);
        }
    }
    let cells = compiled.map(|samples| Cell::new(Unit::Milliseconds, samples));
    table.row("compiled in", cells.into());
    report.tables.push(table);
    Ok(())
}

/// Maps with room for either.
fn room(one: &Prepared, other: &Prepared) -> FilterOptions {
    let (one, other) = (own_room(one), own_room(other));
    FilterOptions {
        image_lines: one.image_lines.max(other.image_lines),
        ..one
    }
}

/// Takes samples, by way of drawing: the fetch that is subtracted, one image, two images.
fn race(
    plan: &Plan,
    rig: &mut Rig,
    sets: &[Set],
    [bare, one, rules]: [&Prepared; 3],
) -> Result<Vec<Samples>> {
    rounds(DRAWN.len() * 3, 3, plan.place_rounds(), |contestant| {
        // Of each way of drawing, the sources that are not blocked.
        let (set, turn) = (contestant / 3 * 2, contestant % 3);
        let family = sets[set].family as usize;
        let (program, is_two) = match turn {
            0 => (program::FETCH[family], false),
            1 => (program::LOOKUP[family], false),
            _ => (program::BOTH[family], true),
        };
        let filter = rig.filter();
        if is_two {
            filter.install(&rules.image, None)?;
            filter.try_out(&bare.image, None, NEVER)?;
        } else {
            filter.install(&one.image, None)?;
        }
        let cursor = Cursor {
            set,
            source: 0,
            interface: 0,
        };
        rig.aim(&cursor)?;
        let cost = if is_two {
            check(rig, &sets[set], program, [bare, rules])?;
            rig.aim(&cursor)?;
            let cost = rig.cost(program, &[0; FRAME_MIN], size(plan))?;
            rig.filter().go_back(rules.image.generation())?;
            cost
        } else {
            rig.cost(program, &[0; FRAME_MIN], size(plan))?
        };
        Ok(cost)
    })
}

/// Has the program look a part of the set up in both images, and compares with the host.
fn check(rig: &mut Rig, set: &Set, program: &str, images: [&Prepared; 2]) -> Result<()> {
    for address in set.addresses.iter().take(1_000) {
        let classes = images.map(|prepared| {
            let words = prepared.image.words();
            let at = words.class_lookup(address)?;
            Some(words.class_at(at)?.to_word())
        });
        let [world, rules] = classes;
        let expected = world.zip(rules).context("an address without a class")?;
        let answer = rig.run(program, &[0; FRAME_MIN], 1)?.answer;
        ensure!(
            answer == expected.0 | expected.1,
            "two images answer {answer:#x} for {address:?} and the host {expected:x?}: nothing is timed"
        );
    }
    Ok(())
}
