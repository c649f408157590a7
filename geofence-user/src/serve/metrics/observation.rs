//! Metrics of what is observed beside the counters: samples of drops, and captured frames.

use std::fmt::Error;

use geofence_common::action::{Action, Reason};

use super::families::Families;
use crate::daemon::facts::Observed;

/// Every reason that drops has a series, so that the first burst is seen.
pub(super) fn encode(observed: &Observed, families: &mut Families<'_>) -> Result<(), Error> {
    let reasons = Reason::ALL
        .iter()
        .filter(|one| one.action() == Action::Drop);
    let series = |at: usize| {
        let reasons = reasons.clone();
        reasons.map(move |reason| {
            let labels = [("reason", reason.name())];
            (labels, observed.counters.samples[*reason as usize][at])
        })
    };
    families.counters(
        "geofence_drop_samples",
        "Dropped packets that the kernel sampled, while drops were sampled",
        series(1),
    )?;
    families.counters(
        "geofence_drop_samples_lost",
        "Dropped packets that the kernel did not sample, because of the limit of their reason or a full buffer, while \
         drops were sampled",
        series(0),
    )?;
    let [lost, sent] = observed.counters.frames;
    families.counters(
        "geofence_captured_frames",
        "Frames that the kernel sent to a capture",
        [([("", ""); 0], sent)],
    )?;
    families.counters(
        "geofence_captured_frames_lost",
        "Frames that matched a capture and were not sent, because of its bounds or a full buffer",
        [([("", ""); 0], lost)],
    )?;
    families.counters(
        "geofence_event_sink_lost",
        "Events that could not be delivered to a file, a syslog server or a collector",
        observed
            .lost
            .iter()
            .map(|(sink, lost)| ([("sink", *sink)], *lost)),
    )?;
    families.gauge(
        "geofence_observed",
        "1 while drops are sampled or frames are captured",
        i64::from(observed.is_on),
    )
}
