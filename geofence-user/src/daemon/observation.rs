//! Who observes, and what: turns observation in the kernel on while a client wants it, and off again.
//!
//! A policy that no client observes is judged by the same programs as ever. Turning on and off are writes to maps that
//! the daemon holds, so they need no privilege. The kernel bounds what is sent in any case.

use std::sync::Arc;
use std::time::{Duration, Instant};

use geofence_common::observe::{FrameFilter, Observation, ObservationCounters, SNAP_MAX};
use serde_json::{Value, json};
use tokio::time::sleep;
use tracing::{info, warn};

use super::capture::{Capture, CaptureRequest, LEASE};
use super::drop_samples::counters_json;
use super::facts::Observed;
use super::sinks::Sinks;
use super::state::Daemon;
use super::sync::lock;
use super::verdict_names::VerdictNames;
use crate::kernel::KernelError;
use crate::model::failure::{Cause, Failure};
use crate::model::policy::Lookup;
use crate::os::clock::boot_now;

/// How often it is examined whether a client still observes.
const PERIOD: Duration = Duration::from_millis(500);
/// The longest time and the highest rate of a capture.
const CAPTURE_SECONDS_MAX: u64 = 24 * 60 * 60;
const CAPTURE_RATE_MAX: u32 = 100_000;
/// How long a client waits for frames before it is answered that there were none, and for samples.
pub(super) const FRAMES_WAIT: Duration = Duration::from_millis(500);
pub(super) const SAMPLES_WAIT: Duration = Duration::from_secs(1);

/// Examines again and again who observes; never ends.
pub async fn watch_observers(daemon: Arc<Daemon>) {
    let mut is_reported = false;
    loop {
        match daemon.refresh_observation() {
            Ok(()) => is_reported = false,
            Err(error) if !is_reported => {
                warn!("cannot change what is observed: {error}");
                is_reported = true;
            }
            Err(_) => {}
        }
        sleep(PERIOD).await;
    }
}

impl Daemon {
    /// Has the kernel observe what is wanted now.
    pub(super) fn refresh_observation(&self) -> Result<(), KernelError> {
        let boot = boot_now()?;
        let active = {
            let active = lock(&self.active);
            (active.config.clone(), active.image.generation())
        };
        let mut state = lock(&self.observation);
        let is_stale = |one: &Capture| one.generation != active.1;
        if state.capture.as_ref().is_some_and(is_stale) {
            drop(state);
            // A tenant may have another number in another image.
            let names = self.verdict_names();
            state = lock(&self.observation);
            if let Some(capture) = &mut state.capture {
                let filter = capture
                    .request
                    .conditions
                    .compile(|name| names.tenant(name));
                // Of a tenant that is gone there are no packets.
                capture.filter = filter.unwrap_or(FrameFilter::NONE);
                capture.generation = names.generation();
            }
        }
        let wanted = state.wanted(&active.0.events, boot);
        if wanted != state.active {
            let mut filter = lock(&self.filter);
            if wanted.0.session != state.active.0.session && wanted.0.session != 0 {
                filter.reset_capture()?;
            }
            filter.observe(&wanted.0, wanted.1)?;
            match (state.active.1, wanted.1) {
                (0, 0) => {}
                (0, _) => info!("packets are observed from now on"),
                (_, 0) => info!("packets are no longer observed"),
                _ => {}
            }
            state.active = wanted;
        }
        // No client fetches what is left.
        let is_left = |one: &Capture| Instant::now() > one.leased_until + LEASE;
        if state.capture.as_ref().is_some_and(is_left) {
            state.capture = None;
        }
        Ok(())
    }

    /// The names behind the numbers of the active image.
    pub(super) fn verdict_names(&self) -> Arc<VerdictNames> {
        let generation = lock(&self.active).image.generation();
        if let Some(known) = lock(&self.observation).names_of(generation) {
            return known;
        }
        let names = Arc::new(VerdictNames::of(&lock(&self.active)));
        lock(&self.observation).names = Some(Arc::clone(&names));
        names
    }

    /// Ends all observation: the filter goes on without this process.
    pub fn end_observation(&self) {
        let mut state = lock(&self.observation);
        if state.active.1 != 0 {
            match lock(&self.filter).observe(&Observation::OFF, 0) {
                Ok(()) => state.active = (Observation::OFF, 0),
                Err(error) => warn!("cannot end the observation of packets: {error}"),
            }
        }
    }

    /// Refuses where the programs hand no frame over: those that ask the kernel's tries.
    fn ensure_observable(&self) -> Result<(), Failure> {
        if lock(&self.active).config.policy.lookup == Lookup::LpmTrie {
            let text = "with `lookup = \"lpm-trie\"` nothing can be observed; set it to \"array-trie\", the default, \
                        and restart geofence";
            return Err(Failure::new(Cause::Request, text));
        }
        Ok(())
    }

    /// Samples are wanted for another while.
    pub(super) fn follow_samples(&self) -> Result<(), Failure> {
        self.ensure_observable()?;
        {
            let mut state = lock(&self.observation);
            if !state.can_sample {
                let text = "drops cannot be sampled; `geofence status` says why";
                return Err(Failure::new(Cause::Kernel, text));
            }
            state.followed_until = Some(Instant::now() + LEASE);
        }
        Ok(self.refresh_observation()?)
    }

    /// The samples from this number on, and the counters.
    pub(super) fn samples_since(&self, since: u64) -> Result<Value, Failure> {
        let counters = self.observation_counters()?;
        let state = lock(&self.observation);
        let (events, left_out) = state.samples.since(since);
        Ok(json!({
            "events": events,
            "left_out": left_out,
            "next": state.samples.count(),
            "counters": counters_json(&counters),
            "is_sampled": !state.active.0.samples.is_off(),
        }))
    }

    /// What is observed, for metrics and status.
    pub(super) fn observed(&self) -> Result<Observed, KernelError> {
        let is_on = lock(&self.observation).active.1 != 0;
        Ok(Observed {
            counters: self.observation_counters()?,
            is_on,
            lost: self.sinks.get().map(Sinks::lost).unwrap_or_default(),
        })
    }

    /// What was observed since the filter was loaded.
    pub fn observation_counters(&self) -> Result<ObservationCounters, KernelError> {
        lock(&self.filter).observation_counters()
    }

    /// Starts a capture; returns its number.
    ///
    /// # Errors
    /// If one goes on, or a condition names what there is not.
    pub fn start_capture(&self, request: CaptureRequest) -> Result<Value, Failure> {
        let refused = |text: String| Failure::new(Cause::Request, text);
        let is_bounded = request.count > 0
            && (1..=CAPTURE_SECONDS_MAX).contains(&request.seconds)
            && (1..=CAPTURE_RATE_MAX).contains(&request.rate)
            && (1..=SNAP_MAX as u32).contains(&request.snap);
        if !is_bounded {
            return Err(refused(format!(
                "a capture has a count above zero, lasts from 1 to {CAPTURE_SECONDS_MAX} seconds, takes from 1 to \
                 {CAPTURE_RATE_MAX} frames a second, and keeps from 1 to {SNAP_MAX} bytes of a frame"
            )));
        }
        self.ensure_observable()?;
        let boot = boot_now().map_err(KernelError::from)?;
        let before = self.observation_counters()?.frames;
        let names = self.verdict_names();
        let session = {
            let mut state = lock(&self.observation);
            if !state.can_capture {
                return Err(refused(
                    "frames cannot be captured; `geofence status` says why".to_owned(),
                ));
            }
            if state.capture.as_ref().is_some_and(|one| one.is_live(boot)) {
                return Err(refused(
                    "a capture is already running; end it first, or wait until it ends".to_owned(),
                ));
            }
            let filter = request.conditions.compile(|name| names.tenant(name));
            let filter = (filter.map_err(refused)?, names.generation());
            let session = state.next_session;
            state.next_session += 1;
            state.capture = Some(Capture::new(session, request, filter, boot, before));
            session
        };
        self.refresh_observation()?;
        Ok(json!({ "session": session }))
    }

    /// The frames of a capture that have arrived. Waits a while for the first.
    pub async fn captured(&self, session: u32) -> Result<Value, Failure> {
        let mut arrived = self.frame_count.subscribe();
        let has_frames = || {
            let state = lock(&self.observation);
            let capture = state.capture.as_ref();
            capture.is_none_or(|one| one.session != session || one.has_frames())
        };
        // Without a frame in time the answer has none.
        let _ = tokio::time::timeout(FRAMES_WAIT, arrived.wait_for(|_| has_frames())).await;
        let counters = self.observation_counters()?.frames;
        let boot = boot_now().map_err(KernelError::from)?;
        let mut state = lock(&self.observation);
        let capture = state.capture.as_mut().filter(|one| one.session == session);
        let Some(capture) = capture else {
            let text = "this capture has ended: its client did not ask for frames for a while, or the daemon was \
                        restarted";
            return Err(Failure::new(Cause::Request, text));
        };
        Ok(capture.take(counters, boot))
    }

    /// Ends a capture before its bounds do. Frames that are on their way can still be fetched.
    pub async fn end_capture(&self, session: u32) -> Result<Value, Failure> {
        {
            let mut state = lock(&self.observation);
            let capture = state.capture.as_mut();
            if let Some(capture) = capture.filter(|one| one.session == session) {
                capture.ends = 0;
            }
        }
        self.refresh_observation()?;
        self.captured(session).await
    }
}
