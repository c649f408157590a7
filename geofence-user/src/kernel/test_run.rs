//! Runs the programs on a frame without an interface (BPF_PROG_TEST_RUN), for `explain` and tests.

use aya::maps::Array;
use aya::programs::{ProgramError, SchedClassifier, TestRun as _, TestRunOptions, Xdp};
use geofence_common::action::{Action, Reason};
use geofence_common::country::Country;
use geofence_common::decide::Verdict;
use geofence_common::frame::Link;
use geofence_common::image::class::Class;
use geofence_common::image::list_set::Peer;
use geofence_common::maps::{TracedVerdict, name};

use super::error::KernelError;
use super::filter::Filter;

/// The return value of the ingress program that passes a packet (`XDP_PASS`).
const XDP_PASS: u32 = 2;

/// The return value of the egress program that drops a packet (`TC_ACT_SHOT`).
const TC_ACT_SHOT: u32 = 2;

impl Filter {
    /// Runs the ingress program, which must be loaded traced, on a frame of an Ethernet device.
    pub fn ask(&mut self, frame: &[u8]) -> Result<Verdict, KernelError> {
        self.ask_on(Link::Ethernet, frame)
    }

    /// Runs the ingress program of a link, which must be loaded traced, on a frame.
    pub fn ask_on(&mut self, link: Link, frame: &[u8]) -> Result<Verdict, KernelError> {
        let mut verdict: Array<_, TracedVerdict> = self.open_mut(name::VERDICT)?;
        let stale = TracedVerdict {
            reason: u8::MAX,
            ..TracedVerdict::default()
        };
        verdict
            .set(0, &stale, 0)
            .map_err(KernelError::map("clearing VERDICT"))?;
        let action = run_ingress(self.ingress(link)?, frame)?;
        let verdict: Array<_, TracedVerdict> = self.open(name::VERDICT)?;
        let traced = verdict
            .get(&0, 0)
            .map_err(KernelError::map("reading VERDICT"))?;
        let reason = Reason::from_number(traced.reason).ok_or(KernelError::NoMap(name::VERDICT))?;
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

    /// Runs the egress program on a frame, as if it left through an interface without counters of its own.
    pub fn send(&mut self, frame: &[u8]) -> Result<Action, KernelError> {
        self.send_on(Link::Ethernet, frame)
    }

    /// Runs the egress program of a link on a frame, in the same way.
    pub fn send_on(&mut self, link: Link, frame: &[u8]) -> Result<Action, KernelError> {
        let program: &SchedClassifier = self.egress(link)?;
        Ok(match program.test_run(frame_options(frame))?.return_value {
            TC_ACT_SHOT => Action::Drop,
            _ => Action::Pass,
        })
    }
}

/// Runs an ingress program on a frame.
fn run_ingress(program: &Xdp, frame: &[u8]) -> Result<Action, ProgramError> {
    Ok(match program.test_run(frame_options(frame))?.return_value {
        XDP_PASS => Action::Pass,
        _ => Action::Drop,
    })
}

fn frame_options(frame: &[u8]) -> TestRunOptions<'_> {
    let mut options = TestRunOptions::new();
    options.data_in = Some(frame);
    options
}
