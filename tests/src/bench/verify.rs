//! Answers first: nothing is timed before the programs that are timed have answered for every address.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::{Result, ensure};
use geofence_common::action::Reason;
use geofence_common::decide::filter;
use geofence_common::image::{Lookup as _, Words as _};
use geofence_tests::oracle::Oracle;
use geofence_user::explain::simulated_tables::SimulatedTables;

use crate::cases::Case;
use crate::rig::{Cursor, FRAME_MIN, Rig, program};
use crate::sets::Set;

/// Has every address of a set looked up and compares with the oracle.
pub(crate) fn classes(
    oracle: &Oracle,
    rig: &mut Rig,
    number: usize,
    set: &Set,
    engine: &str,
) -> Result<()> {
    rig.aim(&Cursor {
        set: number,
        source: 0,
        interface: 0,
    })?;
    for address in &set.addresses {
        let answer = rig
            .run(program::LOOKUP[set.family as usize], &[0; FRAME_MIN], 1)?
            .answer;
        let expected = oracle.class(address).to_word();
        ensure!(
            answer == expected,
            "{engine} answers {answer:#x} for {address:?} and the oracle {expected:#x}: nothing is timed"
        );
    }
    Ok(())
}

/// Has the host's walk of an image answer for every address of a set and compares with the oracle.
pub(crate) fn image(oracle: &Oracle, words: &[u32], set: &Set) -> Result<()> {
    for address in &set.addresses {
        let found = words
            .class_lookup(address)
            .and_then(|at| words.class_at(at));
        let expected = oracle.class(address);
        ensure!(
            found == Some(expected),
            "the image has {found:?} for {address:?} and the oracle {expected:?}"
        );
    }
    Ok(())
}

/// Has the filter judge a frame from every source of a set, and compares what it counted with the host's verdicts.
pub(crate) fn verdicts(
    host: &SimulatedTables<'_>,
    rig: &mut Rig,
    number: usize,
    set: &Set,
    case: &Case,
    meant: Option<Reason>,
) -> Result<()> {
    let what = format!("{}, {}", case.fate.name(), case.clothes.name());
    let mut frame = case.frame.clone();
    let mut expected = BTreeMap::new();
    for address in &set.addresses {
        match address.ip() {
            IpAddr::V4(ip) => frame[case.source..][..4].copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => frame[case.source..][..16].copy_from_slice(&ip.octets()),
        }
        let verdict = filter(&&frame[..], host, &mut ());
        ensure!(
            meant.is_none_or(|meant| meant == verdict.reason),
            "{what}: {address:?} is judged {} where {meant:?} was meant",
            verdict.reason.name()
        );
        *expected
            .entry((verdict.country, verdict.action, verdict.reason))
            .or_insert(0_u64) += 1;
    }
    let before = rig.filter().counters(0)?;
    rig.aim(&Cursor {
        set: number,
        source: case.source,
        interface: 0,
    })?;
    rig.run(
        program::VARY[case.family as usize],
        &case.frame,
        u32::try_from(set.addresses.len())?,
    )?;
    let after = rig.filter().counters(0)?;
    for (key, packets) in expected {
        let [before, after] =
            [&before, &after].map(|all| all.get(&key).map_or(0, |counter| counter.packets));
        let counted = after - before;
        ensure!(
            counted == packets,
            "{what}: the filter counted {counted} of {packets} packets as {key:?}: nothing is timed"
        );
    }
    Ok(())
}
