//! A capture: frames that the kernel sends by a filter, on their way to the client that asked for them.
//!
//! There is one at a time. It ends by its own bounds, which the kernel knows as well, when its client ends it, and when
//! its client has not asked for frames for a while.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use geofence_common::frame::Link;
use geofence_common::observe::FrameFilter;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::verdict_names::NamedVerdict;
use crate::kernel::CapturedFrame;
use crate::model::frame_conditions::FrameConditions;

/// How long a follower or a capture lasts without another request of its client.
pub(super) const LEASE: Duration = Duration::from_secs(5);
/// How long frames may still be on their way after the end.
const ON_THEIR_WAY: Duration = Duration::from_secs(1);
/// How many bytes of frames wait for the client. More come faster than it reads.
const WAITING_MAX: usize = 16 << 20;
/// How many bytes of frames one answer holds.
const ANSWER_BYTES: usize = 1 << 20;

/// The spelling of what frames of a device start with.
const fn link_name(link: u32) -> &'static str {
    if link == Link::Ip as u32 {
        "ip"
    } else {
        "ethernet"
    }
}

/// What a client asks to be captured. The names are those of the control protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaptureRequest {
    pub conditions: FrameConditions,
    /// How many frames, for how many seconds, at most how many a second, and how many bytes of each.
    pub count: u64,
    pub seconds: u64,
    pub rate: u32,
    pub snap: u32,
}

/// A capture that goes on, or whose last frames have not been fetched.
#[derive(Debug)]
pub(super) struct Capture {
    pub(super) session: u32,
    pub(super) request: CaptureRequest,
    /// What the kernel compares, and the generation of the image whose numbers are in it.
    pub(super) filter: FrameFilter,
    pub(super) generation: u32,
    /// When it ends, nanoseconds since boot.
    pub(super) ends: u64,
    pub(super) leased_until: Instant,
    /// The kernel's counters when it began.
    pub(super) before: [u64; 2],
    frames: VecDeque<(CapturedFrame, i64, String, NamedVerdict)>,
    bytes: usize,
    /// Frames that came faster than the client read.
    lost: u64,
    /// How many frames the kernel has delivered.
    arrived: u64,
    /// When it was first seen to have ended.
    ended: Option<Instant>,
}

impl Capture {
    pub(super) fn new(
        session: u32,
        request: CaptureRequest,
        (filter, generation): (FrameFilter, u32),
        boot: u64,
        before: [u64; 2],
    ) -> Self {
        let length = Duration::from_secs(request.seconds).as_nanos();
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        Self {
            session,
            request,
            filter,
            generation,
            ends: boot.saturating_add(length),
            leased_until: Instant::now() + LEASE,
            before,
            frames: VecDeque::new(),
            bytes: 0,
            lost: 0,
            arrived: 0,
            ended: None,
        }
    }

    /// Whether the kernel sends frames for it.
    pub(super) fn is_live(&self, boot: u64) -> bool {
        boot < self.ends && self.arrived < self.request.count && Instant::now() < self.leased_until
    }

    /// Adds a frame that was captured at a time in nanoseconds since 1970.
    pub(super) fn add(
        &mut self,
        frame: CapturedFrame,
        time: i64,
        interface: String,
        verdict: NamedVerdict,
    ) {
        self.arrived += 1;
        if self.bytes + frame.bytes.len() > WAITING_MAX {
            self.lost += 1;
            return;
        }
        self.bytes += frame.bytes.len();
        self.frames.push_back((frame, time, interface, verdict));
    }

    pub(super) fn has_frames(&self) -> bool {
        !self.frames.is_empty()
    }

    /// The frames that wait, as many as an answer holds, and how far the capture is. `counters` are the kernel's.
    pub(super) fn take(&mut self, counters: [u64; 2], boot: u64) -> Value {
        self.leased_until = Instant::now() + LEASE;
        let mut frames = Vec::new();
        let mut bytes = 0;
        while bytes < ANSWER_BYTES
            && let Some((frame, time, interface, verdict)) = self.frames.pop_front()
        {
            bytes += frame.bytes.len();
            let mut object = json!({
                "time_ns": time,
                "interface": interface,
                "link": link_name(frame.header.link),
                "length": frame.header.length,
                "generation": frame.header.observed.generation,
                "data": STANDARD.encode(&frame.bytes),
            });
            verdict.add_to(&mut object);
            frames.push(object);
        }
        self.bytes -= bytes;
        let is_live = self.is_live(boot);
        if !is_live {
            self.ended.get_or_insert_with(Instant::now);
        }
        let is_late = self.ended.is_some_and(|at| at.elapsed() > ON_THEIR_WAY);
        let [not_sent, sent] = [0, 1].map(|at: usize| counters[at].wrapping_sub(self.before[at]));
        json!({
            "frames": frames,
            "matched": not_sent + sent,
            "sent": sent,
            "lost": self.lost,
            "is_over": self.frames.is_empty() && !is_live && (self.arrived >= sent || is_late),
        })
    }
}
