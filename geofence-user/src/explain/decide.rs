//! Runs the kernel's decision on this side, over an image in memory, and records its steps.

use std::net::IpAddr;

use geofence_common::decide::{EgressVerdict, Origin, Tables, Verdict, egress, filter};
use geofence_common::explain::{Observer, Step};

use super::simulated_tables::{PacketHistory, SimulatedTables};

/// Collects the steps of a decision.
#[derive(Clone, Debug, Default)]
pub struct Recorder(pub Vec<Step>);

impl Observer for Recorder {
    fn step(&mut self, step: Step) {
        self.0.push(step);
    }
}

/// Decides about a frame over these tables, as the kernel would.
#[must_use]
pub fn explain_with<T: Tables>(frame: &[u8], tables: &T) -> (Verdict, Vec<Step>) {
    let mut recorder = Recorder::default();
    let verdict = filter(&frame, tables, &mut recorder);
    (verdict, recorder.0)
}

/// Decides about a frame over an image, with no packet seen before.
#[must_use]
pub fn explain(frame: &[u8], words: &[u32]) -> (Verdict, Vec<Step>) {
    explain_with(frame, &words)
}

/// Decides about a frame after the packets of a history, and after this side has sent `sent` if that is given. The
/// history then has these packets as well.
#[must_use]
pub fn explain_next(
    frame: &[u8],
    sent: Option<&[u8]>,
    words: &[u32],
    history: &mut PacketHistory,
) -> (Verdict, Vec<Step>) {
    let mut recorder = Recorder::default();
    let tables = SimulatedTables::new(words, std::mem::take(history));
    if let Some(sent) = sent {
        egress(&sent, || Origin::Local, &tables, &mut recorder);
    }
    let verdict = filter(&frame, &tables, &mut recorder);
    *history = tables.into_history();
    (verdict, recorder.0)
}

/// Decides about a frame that leaves this side.
#[must_use]
pub fn explain_egress(frame: &[u8], words: &[u32]) -> (EgressVerdict, Vec<Step>) {
    let mut recorder = Recorder::default();
    let tables = SimulatedTables::new(words, PacketHistory::default());
    let verdict = egress(&frame, || Origin::Local, &tables, &mut recorder);
    (verdict, recorder.0)
}

/// The source and the destination, if the decision got as far as reading them.
#[must_use]
pub fn addresses(steps: &[Step]) -> Option<(IpAddr, IpAddr)> {
    steps.iter().find_map(|step| {
        if let Step::Network {
            source,
            destination,
            ..
        } = step
        {
            Some((source.ip(), destination.ip()))
        } else {
            None
        }
    })
}

/// The address whose class a step looked up, if it did.
#[must_use]
pub fn class_of(step: &Step) -> Option<IpAddr> {
    if let Step::Class { address, .. } = step {
        Some(address.ip())
    } else {
        None
    }
}
