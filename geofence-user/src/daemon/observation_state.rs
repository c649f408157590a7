//! Who observes, what the kernel observes for them, and what has come of it.

use std::sync::Arc;
use std::time::Instant;

use geofence_common::action::Action;
use geofence_common::flow::rate_limit::RateLimit;
use geofence_common::image::flag;
use geofence_common::observe::{Observation, reasons_with};

use super::capture::Capture;
use super::drop_samples::RecentSamples;
use super::verdict_names::VerdictNames;
use crate::model::event_settings::EventSettings;

/// Who observes, and what was observed.
#[derive(Debug)]
pub(super) struct ObservationState {
    /// Until when a client follows the samples.
    pub(super) followed_until: Option<Instant>,
    pub(super) capture: Option<Capture>,
    pub(super) next_session: u32,
    pub(super) samples: RecentSamples,
    /// The names of the active image, once they are needed.
    pub(super) names: Option<Arc<VerdictNames>>,
    /// What the kernel observes, and the flags that the images carry.
    pub(super) active: (Observation, u32),
    /// Whether samples, and captured frames, can be read at all.
    pub(super) can_sample: bool,
    pub(super) can_capture: bool,
}

impl Default for ObservationState {
    fn default() -> Self {
        Self {
            followed_until: None,
            capture: None,
            next_session: 1,
            samples: RecentSamples::default(),
            names: None,
            active: (Observation::OFF, 0),
            can_sample: false,
            can_capture: false,
        }
    }
}

impl ObservationState {
    /// The names of the image of this generation, if they are known.
    pub(super) fn names_of(&self, generation: u32) -> Option<Arc<VerdictNames>> {
        let known = self.names.clone();
        known.filter(|names| names.generation() == generation)
    }

    /// What the kernel is to observe, and the flags that have it do so.
    pub(super) fn wanted(&self, events: &EventSettings, boot: u64) -> (Observation, u32) {
        let mut observation = Observation::OFF;
        let mut flags = 0;
        let is_followed = self
            .followed_until
            .is_some_and(|until| Instant::now() < until);
        if self.can_sample && (events.drops || is_followed) {
            observation.samples = RateLimit::per_second(events.rate);
            flags |= flag::OBSERVE_DROPS;
        }
        if let Some(capture) = self.capture.as_ref().filter(|one| one.is_live(boot)) {
            let request = &capture.request;
            observation.filter = capture.filter;
            observation.frames = RateLimit::per_second(request.rate);
            observation.ends = capture.ends;
            observation.count = request.count;
            observation.session = capture.session;
            observation.snap = request.snap;
            for (action, flag) in [
                (Action::Drop, flag::OBSERVE_DROPS),
                (Action::Pass, flag::OBSERVE_PASSES),
            ] {
                if capture.filter.reasons & reasons_with(action) != 0 {
                    flags |= flag;
                }
            }
        }
        (observation, flags)
    }
}
