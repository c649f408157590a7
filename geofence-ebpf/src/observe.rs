//! The programs that observe: a sample of the drops, and whole frames that a capture asks for.
//!
//! A program with rules hands a frame over once it was judged and counted, and only while an operator observes. Nothing
//! here changes what happens to a frame: each exit returns the action that the verdict named.

use core::arch::asm;
use core::ffi::c_void;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::xdp_action;
use aya_ebpf::helpers::generated::{bpf_ringbuf_output, bpf_xdp_load_bytes};
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use geofence_common::action::{Action, REASONS_MAX};
use geofence_common::decide::Verdict;
use geofence_common::flow::rate_limit::RateLimit;
use geofence_common::frame::Frame as _;
use geofence_common::image::{Flags, Words, header};
use geofence_common::observe::{
    CapturedHeader, Observation, Observed, SNAP_MAX, Sample, flag_of, is_drop,
};
use geofence_common::opaque::Opaque as _;
use geofence_common::packet::FiveTuple;
use geofence_common::wire::parse::read_five_tuple;

use crate::events::replace;
use crate::frame::{Device, EthernetDevice, IpDevice, PacketFrame};
use crate::{clock, maps};

/// Observes frames of Ethernet devices.
#[xdp(frags)]
// For the stack, as in `main`.
#[inline(always)]
pub(crate) fn geofence_observe(ctx: XdpContext) -> u32 {
    observe::<EthernetDevice>(&ctx)
}

/// Observes frames of devices whose frames start with the IP header.
#[xdp(frags)]
#[inline(always)]
pub(crate) fn geofence_ip_observe(ctx: XdpContext) -> u32 {
    observe::<IpDevice>(&ctx)
}

/// Hands a frame over if frames with this verdict are observed. Returns if they are not, or if it cannot.
///
/// Not where the kernel's tries are asked: with them, Linux 6.1 would follow more than a million instructions.
#[inline(always)]
pub(crate) fn hand_over<D: Device>(ctx: &XdpContext, verdict: &Verdict, tables: &impl Words) {
    if maps::global(&maps::LPM) {
        return;
    }
    if !tables
        .flags()
        .unwrap_or(Flags(0))
        .has(flag_of(verdict.reason))
    {
        return;
    }
    let Some(observed) = maps::OBSERVED.get_ptr_mut(0) else {
        return;
    };
    let generation = tables.word(header::GENERATION as u32).unwrap_or(0);
    // SAFETY: the element is this CPU's own: a program that filters is not interrupted by another. Field by field,
    // because the stack is nearly full.
    unsafe {
        (*observed).verdict.reason = verdict.reason as u8;
        (*observed).verdict.country = verdict.country.number();
        (*observed).verdict.dropped = u8::from(verdict.action as u8 == Action::Drop as u8);
        (*observed).verdict.tenant = verdict.tenant;
        (*observed).verdict.exception = verdict.exception;
        (*observed).verdict.class = verdict.peer.class.to_word();
        (*observed).verdict.records[0] = verdict.peer.records[0];
        (*observed).verdict.records[1] = verdict.peer.records[1];
        (*observed).verdict.policy = verdict.peer.policy;
        (*observed).generation = generation;
        maps::OBSERVERS.tail_call(ctx, D::LINK as u32);
    }
    // The loader puts the program there before any packet comes.
    if let Some(counters) = maps::OBSERVATION_COUNTERS.get_ptr_mut(0) {
        // SAFETY: the element is this CPU's own.
        let counters = unsafe { &mut *counters };
        let reason = usize::from(verdict.reason as u8).opaque(tables) & (REASONS_MAX - 1);
        counters.samples[reason][0] += 1;
    }
}

#[inline(always)]
fn observe<D: Device>(ctx: &XdpContext) -> u32 {
    // Element 0 exists, so neither of these fails. If it did, the frame would not be let in.
    let Some(observed) = maps::OBSERVED.get_ptr(0) else {
        return xdp_action::XDP_DROP;
    };
    // SAFETY: the element is this CPU's own, and was written before this program was called.
    let observed = unsafe { &*observed };
    if let Some(settings) = maps::OBSERVATION.get_ptr(0) {
        // SAFETY: the element is a whole `Observation`. The daemon may be writing it; the fields are bounds only.
        look::<D>(ctx, observed, unsafe { &*settings });
    }
    if observed.verdict.dropped == 0 {
        xdp_action::XDP_PASS
    } else {
        xdp_action::XDP_DROP
    }
}

/// What is known of a frame when it is looked at.
struct Seen<'a> {
    observed: &'a Observed,
    five_tuple: Option<FiveTuple>,
    interface: u32,
    length: u32,
    now: u64,
}

#[inline(always)]
fn look<D: Device>(ctx: &XdpContext, observed: &Observed, settings: &Observation) {
    let frame = PacketFrame::<_, D, false>::new(ctx);
    let seen = Seen {
        observed,
        five_tuple: read_five_tuple(&frame).map(|found| found.opaque(&frame)),
        interface: frame.interface(),
        length: frame.length() as u32,
        now: clock::now(),
    };
    let Some(counters) = maps::OBSERVATION_COUNTERS.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: the element is this CPU's own.
    let counters = unsafe { &mut *counters };
    let reason = usize::from(observed.verdict.reason).opaque(&frame) & (REASONS_MAX - 1);
    let samples = settings.samples;
    if !samples.is_off() && is_drop(observed.verdict.reason) {
        let is_sent = maps::SAMPLE_LIMITS
            .get_ptr_mut(reason as u32)
            .is_some_and(|limit| acquire(limit, samples, seen.now) && seen.send_sample());
        let sent = u32::from(is_sent).opaque(&frame) as usize & 1;
        counters.samples[reason][sent] += 1;
    }
    if seen.now < settings.ends
        && settings
            .filter
            .matches(&observed.verdict, seen.five_tuple.as_ref())
    {
        let is_sent = seen.capture::<D>(ctx, settings);
        let sent = u32::from(is_sent).opaque(&frame) as usize & 1;
        counters.frames[sent] += 1;
    }
}

impl Seen<'_> {
    /// Sends the daemon a sample, if the ring buffer has room.
    #[inline(always)]
    fn send_sample(&self) -> bool {
        let Some(mut sample) = maps::SAMPLES.reserve(0) else {
            return false;
        };
        let family = match &self.five_tuple {
            None => 0,
            Some(found) if found.source.is_v6() => 6,
            Some(_) => 4,
        };
        let (source, destination, ports, protocol, flags) = match &self.five_tuple {
            Some(found) => (
                found.source.words(),
                found.destination.words(),
                found.ports,
                found.protocol,
                found.flags,
            ),
            None => ([0; 2], [0; 2], [0; 2], 0, 0),
        };
        sample.write(Sample {
            time: self.now,
            source,
            destination,
            observed: *self.observed,
            interface: self.interface,
            length: self.length,
            ports,
            protocol,
            flags,
            family,
            padding: 0,
        });
        sample.submit(0);
        true
    }

    /// Sends the daemon the frame, if the capture's bounds and the ring buffer allow it.
    #[inline(always)]
    fn capture<D: Device>(&self, ctx: &XdpContext, settings: &Observation) -> bool {
        let Some(progress) = maps::CAPTURE.get_ptr_mut(0) else {
            return false;
        };
        // SAFETY: the fields of an element that exists.
        let (full_at, taken) =
            unsafe { (&raw mut (*progress).full_at, &raw mut (*progress).taken) };
        // SAFETY: a whole number, read at once.
        if unsafe { taken.read_volatile() } >= settings.count
            || !acquire(full_at, settings.frames, self.now)
        {
            return false;
        }
        if add(taken, 1) >= settings.count {
            return false;
        }
        let is_sent = self.send_frame::<D>(ctx, settings);
        if !is_sent {
            add(taken, -1);
        }
        is_sent
    }

    #[inline(always)]
    fn send_frame<D: Device>(&self, ctx: &XdpContext, settings: &Observation) -> bool {
        let Some(frame) = maps::CAPTURED_FRAME.get_ptr_mut(0) else {
            return false;
        };
        let kept = if settings.snap < self.length {
            settings.snap
        } else {
            self.length
        };
        // From 1 to `SNAP_MAX`, as the verifier sees. The compiler knows nothing of either number.
        let kept = (kept.wrapping_sub(1) & (SNAP_MAX as u32 - 1)) + 1;
        // SAFETY: the element is this CPU's own, and has room for the bytes.
        let failed = unsafe {
            (*frame).header = CapturedHeader {
                time: self.now,
                observed: *self.observed,
                interface: self.interface,
                length: self.length,
                kept,
                session: settings.session,
                link: D::LINK as u32,
                padding: 0,
            };
            bpf_xdp_load_bytes(
                ctx.as_ptr().cast(),
                0,
                (&raw mut (*frame).bytes).cast(),
                kept,
            )
        };
        if failed != 0 {
            return false;
        }
        let size = size_of::<CapturedHeader>() as u64 + u64::from(kept);
        // SAFETY: the element is that long.
        let failed = unsafe {
            bpf_ringbuf_output(
                (&raw const maps::CAPTURED).cast_mut().cast::<c_void>(),
                frame.cast::<c_void>(),
                size,
                0,
            )
        };
        failed == 0
    }
}

/// Takes one from a limit whose state is in a map. Of CPUs that acquire at the same moment one succeeds.
#[inline(always)]
fn acquire(state: *mut u64, limit: RateLimit, now: u64) -> bool {
    // SAFETY: the state is a whole number in a map, read at once.
    let full_at = unsafe { state.read_volatile() };
    limit
        .try_acquire(full_at, now)
        .is_some_and(|next| replace(state, full_at, next) == full_at)
}

/// Adds to a number in one step, and returns what it was before. `core` has no such operation for this target.
#[inline(always)]
fn add(number: *mut u64, more: i64) -> u64 {
    let before: i64;
    // SAFETY: the pointer is to a whole number in a map; the instruction reads and writes nothing else.
    unsafe {
        asm!(
            "{1} = atomic_fetch_add((u64 *)({0} + 0), {1})",
            in(reg) number,
            inlateout(reg) more => before,
            options(nostack),
        );
    }
    before as u64
}
