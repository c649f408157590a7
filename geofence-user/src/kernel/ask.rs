//! Asking the kernel's program about a frame, for `explain` and for tests.

use aya::maps::Array;
use aya::programs::{TestRun as _, TestRunOptions};
use geofence_common::action::{Action, Reason};
use geofence_common::country::Country;
use geofence_common::decide::Verdict;
use geofence_common::image::class::Class;
use geofence_common::image::list_set::Peer;
use geofence_common::maps::{TracedVerdict, name};

use super::filter::{Filter, LoadError, map_error};

impl Filter {
    /// Asks the kernel's program about a frame, which must have been loaded traced.
    pub fn ask(&mut self, frame: &[u8]) -> Result<Verdict, LoadError> {
        let map = self.map_mut(name::VERDICT)?;
        let mut verdict: Array<_, TracedVerdict> =
            map.try_into().map_err(map_error("opening VERDICT"))?;
        let stale = TracedVerdict {
            reason: u8::MAX,
            ..TracedVerdict::default()
        };
        verdict
            .set(0, stale, 0)
            .map_err(map_error("clearing VERDICT"))?;
        let mut frame_options = TestRunOptions::new();
        frame_options.data_in = Some(frame);
        let result = self.ingress()?.test_run(frame_options)?;
        let map = self.map(name::VERDICT)?;
        let verdict: Array<_, TracedVerdict> =
            map.try_into().map_err(map_error("opening VERDICT"))?;
        let traced = verdict.get(&0, 0).map_err(map_error("reading VERDICT"))?;
        let reason = Reason::from_number(traced.reason).ok_or(LoadError::NoMap(name::VERDICT))?;
        let action = to_action(result.return_value);
        Ok(Verdict {
            reason,
            country: Country::from_number(traced.country),
            action,
            tenant: traced.tenant,
            exception: traced.exception,
            peer: Peer {
                class: Class::from_word(traced.class),
                records: traced.records,
                policy: traced.policy,
            },
        })
    }
}

/// What the program's return value does to a packet.
pub(super) fn to_action(value: u32) -> Action {
    if value == XDP_PASS {
        Action::Pass
    } else {
        Action::Drop
    }
}

/// The kernel's number for letting a packet through (`enum xdp_action`).
const XDP_PASS: u32 = 2;
