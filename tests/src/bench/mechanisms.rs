//! What each mechanism of the image buys: the look-up alone, in an image that the compiler made without it.
//!
//! The two that are about the world's prefixes are left out of the world's image. The two that are about single
//! addresses are left out of an image with a list of a million of the family. All images of a family are put in place
//! by turns, and each answers like the oracle before anything is timed.

use anyhow::Result;
use clap::ValueEnum;
use geofence_common::address::Address;
use geofence_common::image::{Lookup as _, Words as _};
use geofence_tests::oracle::Oracle;
use geofence_user::compile::Mechanisms;
use geofence_user::prepare::Prepared;

use crate::lists::{addresses, listing, sizes};
use crate::plan::Plan;
use crate::report::{Cell, Report, Table, Unit};
use crate::rig::{Cursor, FRAME_MIN, program};
use crate::sample::rounds;
use crate::sets::{Distribution, Family, Set};
use crate::stage::Stage;
use crate::verify;

/// A mechanism that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mechanism {
    /// Nodes wider than four bits
    Strides,
    /// One line for a block with a few deep changes
    RangeLeaves,
    /// Single addresses in a hash table
    HostTable,
    /// Leaves that say which addresses cannot be in the host table
    LeafFilter,
}

impl Mechanism {
    pub(crate) const ALL: [Self; 4] = [
        Self::Strides,
        Self::RangeLeaves,
        Self::HostTable,
        Self::LeafFilter,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Strides => "without strides",
            Self::RangeLeaves => "without range leaves",
            Self::HostTable => "without host table",
            Self::LeafFilter => "without leaf filter",
        }
    }

    /// Whether it is about single addresses, so that an image without a list does not have it.
    const fn is_about_addresses(self) -> bool {
        matches!(self, Self::HostTable | Self::LeafFilter)
    }

    /// All mechanisms but this one.
    const fn without(self) -> Mechanisms {
        let mut mechanisms = Mechanisms::ALL;
        match self {
            Self::Strides => mechanisms.strides = false,
            Self::RangeLeaves => mechanisms.range_leaves = false,
            Self::HostTable => mechanisms.host_table = false,
            Self::LeafFilter => mechanisms.leaf_filter = false,
        }
        mechanisms
    }
}

/// Measures those of these mechanisms that are about the world, and those about single addresses, each kind in a table.
pub(crate) fn measure(plan: &Plan, left_out: &[Mechanism], report: &mut Report) -> Result<()> {
    let kinds = [
        (false, "without_world", "One look-up in the world's image"),
        (
            true,
            "without_list",
            "One look-up of an address that is not on a list of a million",
        ),
    ];
    for (is_about_addresses, name, title) in kinds {
        let left_out: Vec<_> = left_out
            .iter()
            .copied()
            .filter(|one| one.is_about_addresses() == is_about_addresses)
            .collect();
        if left_out.is_empty() {
            continue;
        }
        let columns = left_out.iter().map(|one| one.name());
        let columns: Vec<_> = std::iter::once("all mechanisms").chain(columns).collect();
        let mut table = Table::new(
            name,
            format!("{title}, over a program that only takes the address"),
            &columns,
        );
        for family in Family::BOTH {
            of_family(plan, family, &left_out, is_about_addresses, &mut table)?;
        }
        report.tables.push(table);
    }
    Ok(())
}

/// Adds the rows of a family: the time with all mechanisms, the ratio without each, and the sizes of the images.
fn of_family(
    plan: &Plan,
    family: Family,
    left_out: &[Mechanism],
    with_list: bool,
    table: &mut Table,
) -> Result<()> {
    let [million, _] = sizes(plan.smoke);
    let database = &plan.prepared.database;
    let listed = if with_list {
        addresses(database, family, million, 41)?
    } else {
        Vec::new()
    };
    let made = |mechanisms| {
        plan.variant_with(mechanisms, None, |policy| {
            if with_list {
                policy.lists = vec![listing(&listed)];
            }
        })
    };
    let mut policies = vec![made(Mechanisms::ALL)?];
    for mechanism in left_out {
        policies.push(made(mechanism.without())?);
    }
    let sets = sets(plan, family, &policies[0])?;
    let mut stage = Stage::build(&policies, &sets)?;
    let oracle = Oracle::new(&policies[0].config.policy, database);
    for policy in 0..policies.len() {
        for (number, set) in sets.iter().enumerate() {
            verify::classes(&oracle, stage.with(policy)?, number, set, table.name)?;
        }
    }
    // The fetch that is subtracted, and every image.
    let turns = 1 + policies.len();
    let samples = stage.everywhere(plan.places(), |stage| {
        rounds(sets.len() * turns, turns, plan.place_rounds(), |one| {
            let (set, turn) = (one / turns, one % turns);
            let rig = stage.with(turn.saturating_sub(1))?;
            rig.aim(&Cursor {
                set,
                source: 0,
                interface: 0,
            })?;
            let programs = if turn == 0 {
                program::FETCH
            } else {
                program::LOOKUP
            };
            let program = programs[family as usize];
            rig.cost(program, &[0; FRAME_MIN], plan.set_size)
        })
    })?;
    for (distribution, samples) in Distribution::ALL.into_iter().zip(samples.chunks(turns)) {
        let Some(([fetch, all], without)) = samples.split_first_chunk() else {
            continue;
        };
        let all = all.less(fetch);
        let ratios = without.iter().map(|one| one.less(fetch).over(&all));
        let ratios = ratios.map(|ratio| Cell::new(Unit::Times, ratio));
        let name = format!("{} {}", family.name(), distribution.name());
        let cells = std::iter::once(Cell::new(Unit::Nanoseconds, all.clone())).chain(ratios);
        table.row(name, cells.collect());
    }
    let mebibytes = policies
        .iter()
        .map(|prepared| prepared.image.size() as f64 / f64::from(1 << 20));
    let cells = mebibytes.map(|size| Cell::once(Unit::Mebibytes, size));
    let of = if with_list {
        format!("the image, with a list of {}", family.name())
    } else {
        format!("the image, when {} is measured", family.name())
    };
    table.row(of, cells.collect());
    Ok(())
}

/// Addresses that are on no list, by distribution.
fn sets(plan: &Plan, family: Family, prepared: &Prepared) -> Result<Vec<Set>> {
    let words = prepared.image.words();
    let is_listed = |address: &Address| {
        let found = words
            .class_lookup(address)
            .and_then(|at| words.class_at(at));
        found.is_none_or(|class| class.is_denied())
    };
    let database = &plan.prepared.database;
    let mut sets = Vec::new();
    for (seed, distribution) in (61..).zip(Distribution::ALL) {
        let mut set = Set::draw(database, family, distribution, plan.set_size, seed)?;
        set.replace(is_listed);
        sets.push(set);
    }
    Ok(sets)
}
