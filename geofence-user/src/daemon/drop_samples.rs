//! Samples of drops: the last of them, with names, beside the list events.

use std::collections::VecDeque;

use geofence_common::action::Reason;
use geofence_common::address::Address;
use geofence_common::observe::{ObservationCounters, Sample};
use serde_json::{Map, Value, json};

use super::events::{protocol_name, timestamp};
use super::verdict_names::NamedVerdict;
use crate::explain::tcp_flags;

/// How many samples are kept: those of a second in which every reason drops, at the usual rate.
pub(super) const SAMPLES_KEPT: usize = 4096;

/// A sample with its number, time and names.
#[derive(Clone, Debug)]
pub(super) struct DropSample {
    number: u64,
    /// Milliseconds since 1970.
    time: i64,
    sample: Sample,
    interface: String,
    verdict: NamedVerdict,
}

/// The last samples.
#[derive(Debug, Default)]
pub(super) struct RecentSamples {
    samples: VecDeque<DropSample>,
    /// The number of the next sample.
    next: u64,
}

impl RecentSamples {
    /// Adds a sample that arrived at this moment: nanoseconds since boot, milliseconds since 1970.
    pub(super) fn add(
        &mut self,
        sample: Sample,
        interface: String,
        verdict: NamedVerdict,
        [boot, clock]: [i64; 2],
    ) -> &DropSample {
        if self.samples.len() == SAMPLES_KEPT {
            self.samples.pop_front();
        }
        let ago = boot.saturating_sub(sample.time.cast_signed()) / 1_000_000;
        self.next += 1;
        self.samples.push_back(DropSample {
            number: self.next - 1,
            time: clock.saturating_sub(ago),
            sample,
            interface,
            verdict,
        });
        let last = self.samples.len() - 1;
        &self.samples[last]
    }

    /// How many samples have arrived.
    pub(super) const fn count(&self) -> u64 {
        self.next
    }

    /// The kept samples from this number on, and how many from there on are no longer kept.
    pub(super) fn since(&self, number: u64) -> (Vec<Value>, u64) {
        let kept = self.samples.iter().filter(|one| one.number >= number);
        let first = self.samples.front().map_or(self.next, |one| one.number);
        let left_out = first.saturating_sub(number);
        (kept.map(DropSample::to_json).collect(), left_out)
    }
}

impl DropSample {
    pub(super) fn to_json(&self) -> Value {
        let sample = &self.sample;
        let has_ports = sample.ports != [0; 2];
        let address = |words| {
            let address = Address::from_words(sample.family == 6, words);
            (sample.family != 0).then(|| address.ip())
        };
        let mut object = json!({
            "event": "drop",
            "number": self.number,
            "time": timestamp(self.time),
            "direction": "in",
            "interface": self.interface,
            "interface_index": sample.interface,
            "protocol": (sample.family != 0).then(|| protocol_name(sample.protocol)),
            "src": address(sample.source),
            "src_port": has_ports.then_some(sample.ports[0]),
            "dst": address(sample.destination),
            "dst_port": has_ports.then_some(sample.ports[1]),
            "tcp_flags": (sample.flags != 0).then(|| tcp_flags(sample.flags)),
            "length": sample.length,
        });
        self.verdict.add_to(&mut object);
        object
    }
}

/// Counters by reason, as JSON: those of reasons that have any.
pub(super) fn counters_json(counters: &ObservationCounters) -> Value {
    let mut object = Map::new();
    for reason in Reason::ALL {
        let [not_sent, sent] = counters.samples[*reason as usize];
        if not_sent != 0 || sent != 0 {
            let counts = json!({ "sent": sent, "not_sent": not_sent });
            object.insert(reason.name().to_owned(), counts);
        }
    }
    Value::Object(object)
}
