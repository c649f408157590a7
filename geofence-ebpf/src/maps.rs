//! Every map and every global of the programs.
//!
//! ```text
//! IMAGES[0]      one of two equal images, each an array of one element; a reload fills the other and swaps the slot
//! IMAGES[1]      the previous image, which becomes active again if IMAGES[0] is on trial and expires
//! INTERFACES     interface index -> slot of counters
//! DEVICES        device index -> whether a packet that came in by it may come from outside
//! COUNTERS       slot x country -> packets and bytes for each reason and action, per CPU
//! TRIE_*         the kernel's tries for the reference engine: two slots, which change with the image
//! FLOWS_*        flows that our side opened; only egress writes
//! FLOW_CACHE     the last written state of a flow, in one cache line
//! FLOW_COUNTERS  what packets of our side did to each flow table, per CPU
//! UNATTRIBUTED   packets that opened no flow because nothing shows where they came in, per CPU
//! UNANSWERED     packets of mail and DNS of ours that go unanswered because the policy passes no replies, per CPU
//! DATAGRAMS      accepted first fragments
//! TENANTS        tenant -> packets and bytes for each reason and action, per CPU
//! HITS           packets that each exception passed and each ban dropped, per CPU
//! BUCKETS        states of the sources' rate limits
//! LISTS          list x tenant -> packets for each direction and action, and their events, per CPU
//! EVENT          the event of the packet that is judged, per CPU
//! EVENTS         events on their way to the daemon
//! EVENT_LIMITS   states of the rate limits of each list's events
//! SERVICES       packets that passed for each exempted service, by slot, per CPU
//! SERVICE_PORTS  protocol and port -> slot of the service
//! SERVICE_NAMES  slot -> service; only the daemon reads it
//! CASE           what a decision rests on when the addresses do not decide, per CPU
//! CLOCK          the time since boot when it was read last, per CPU
//! FAULTS         packets without an image, and without the program that it needs, per CPU, for the log
//! FAST_PATH      the programs for packets that no rule concerns, in policies with rules, by the kind of device
//! RULES*         the programs for policies with rules, by the kind of device
//! OBSERVERS      the programs that observe, by the kind of device
//! OBSERVATION    what is observed
//! OBSERVED       what a program with rules notes for a program that observes, per CPU
//! OBSERVATION_COUNTERS   samples and captured frames that were sent, and those that were not, per CPU
//! SAMPLES        samples of drops on their way to the daemon
//! SAMPLE_LIMITS  states of the rate limits of each reason's samples
//! CAPTURE        how far a capture is
//! CAPTURED       captured frames on their way to the daemon
//! CAPTURED_FRAME a captured frame on its way to that buffer, per CPU
//! VERDICT        the last verdict, for test runs
//! ```

use aya_ebpf::bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC};
use aya_ebpf::btf_maps::{
    Array, ArrayOfMaps, LpmTrie, LruHashMap, PerCpuArray, PerCpuHashMap, ProgramArray, RingBuf,
};
use aya_ebpf::macros::btf_map;
use geofence_common::action::REASONS_MAX;
use geofence_common::decide::CASE_SIZE;
use geofence_common::event::Event;
use geofence_common::flow::cache::{CACHE_LINES, CacheLine, ChecksumKey};
use geofence_common::flow::rate_limit::RateLimitKey;
use geofence_common::flow::{Datagram, DatagramKey, Flow, FlowKey, Table};
use geofence_common::image::list_set::RATE_LIMITS;
use geofence_common::maps::{
    CountryCounters, DEVICES_MAX, Device, EVENTS_BYTES, FlowCounters, Hits,
    IMAGE_WORDS_PLACEHOLDER, INTERFACES_MAX, LIST_KEYS_MAX, ListCounters, ListKey, TracedVerdict,
};
use geofence_common::observe::{
    CAPTURED_BYTES, CaptureProgress, CapturedHeader, Observation, ObservationCounters, Observed,
    SAMPLES_BYTES, SNAP_MAX, Sample,
};
use geofence_common::service::{PLACES, SERVICE_SLOTS, ServiceName};

/// Kinds of devices, by `Link`.
const LINKS: usize = 2;

/// Sizes that depend on the policy and the machine are set by the loader.
const SIZED_BY_LOADER: usize = 1;

/// One element, so that a packet looks its image up once and each word after that is a load.
pub(crate) type Image =
    Array<[u32; IMAGE_WORDS_PLACEHOLDER as usize], 1, { BPF_F_MMAPABLE as usize }>;

#[btf_map]
pub(crate) static IMAGES: ArrayOfMaps<Image, 2> = ArrayOfMaps::new();
#[btf_map]
pub(crate) static INTERFACES: Array<u32, { INTERFACES_MAX as usize }> = Array::new();
#[btf_map]
pub(crate) static DEVICES: Array<Device, { DEVICES_MAX as usize }> = Array::new();
#[btf_map]
pub(crate) static COUNTERS: PerCpuArray<CountryCounters, SIZED_BY_LOADER> = PerCpuArray::new();
#[btf_map]
pub(crate) static FAULTS: PerCpuArray<u64, 2> = PerCpuArray::new();
#[btf_map]
pub(crate) static VERDICT: Array<TracedVerdict, 1> = Array::new();

#[btf_map]
pub(crate) static TRIE_V4_A: LpmTrie<[u8; 4], u32, SIZED_BY_LOADER> = LpmTrie::new();
#[btf_map]
pub(crate) static TRIE_V4_B: LpmTrie<[u8; 4], u32, SIZED_BY_LOADER> = LpmTrie::new();
#[btf_map]
pub(crate) static TRIE_V6_A: LpmTrie<[u8; 16], u32, SIZED_BY_LOADER> = LpmTrie::new();
#[btf_map]
pub(crate) static TRIE_V6_B: LpmTrie<[u8; 16], u32, SIZED_BY_LOADER> = LpmTrie::new();

pub(crate) type Flows = LruHashMap<FlowKey, Flow, SIZED_BY_LOADER>;

#[btf_map]
pub(crate) static FLOWS_MAIL: Flows = Flows::new();
#[btf_map]
pub(crate) static FLOWS_DNS: Flows = Flows::new();
#[btf_map]
pub(crate) static FLOWS_OTHER: Flows = Flows::new();
/// Mappable, so that it starts at a page and each line is one cache line.
#[btf_map]
pub(crate) static FLOW_CACHE: Array<CacheLine, { CACHE_LINES }, { BPF_F_MMAPABLE as usize }> =
    Array::new();
#[btf_map]
pub(crate) static FLOW_COUNTERS: PerCpuArray<FlowCounters, { Table::ALL.len() }> =
    PerCpuArray::new();
#[btf_map]
pub(crate) static UNATTRIBUTED: PerCpuArray<u64, { Table::ALL.len() }> = PerCpuArray::new();
#[btf_map]
pub(crate) static UNANSWERED: PerCpuArray<u64, { Table::ALL.len() }> = PerCpuArray::new();
#[btf_map]
pub(crate) static DATAGRAMS: LruHashMap<DatagramKey, Datagram, SIZED_BY_LOADER> = LruHashMap::new();

#[btf_map]
pub(crate) static TENANTS: PerCpuArray<CountryCounters, SIZED_BY_LOADER> = PerCpuArray::new();
#[btf_map]
pub(crate) static HITS: PerCpuArray<Hits, SIZED_BY_LOADER> = PerCpuArray::new();
#[btf_map]
pub(crate) static SERVICES: PerCpuArray<u64, SERVICE_SLOTS> = PerCpuArray::new();
/// One element, so that a packet looks up a constant.
#[btf_map]
pub(crate) static SERVICE_PORTS: Array<[u8; PLACES], 1> = Array::new();
#[btf_map]
pub(crate) static SERVICE_NAMES: Array<ServiceName, SERVICE_SLOTS> = Array::new();
#[btf_map]
pub(crate) static BUCKETS: LruHashMap<RateLimitKey, u64, SIZED_BY_LOADER> = LruHashMap::new();

#[btf_map]
pub(crate) static FAST_PATH: ProgramArray<LINKS> = ProgramArray::new();
#[btf_map]
pub(crate) static RULES: ProgramArray<LINKS> = ProgramArray::new();
#[btf_map]
pub(crate) static RULES_EGRESS: ProgramArray<LINKS> = ProgramArray::new();

#[btf_map]
pub(crate) static OBSERVERS: ProgramArray<LINKS> = ProgramArray::new();
#[btf_map]
pub(crate) static OBSERVATION: Array<Observation, 1> = Array::new();
#[btf_map]
pub(crate) static OBSERVED: PerCpuArray<Observed, 1> = PerCpuArray::new();
#[btf_map]
pub(crate) static OBSERVATION_COUNTERS: PerCpuArray<ObservationCounters, 1> = PerCpuArray::new();
#[btf_map]
pub(crate) static SAMPLES: RingBuf<Sample, SAMPLES_BYTES> = RingBuf::new();
#[btf_map]
pub(crate) static SAMPLE_LIMITS: Array<u64, { REASONS_MAX }> = Array::new();
#[btf_map]
pub(crate) static CAPTURE: Array<CaptureProgress, 1> = Array::new();
#[btf_map]
pub(crate) static CAPTURED: RingBuf<CapturedHeader, CAPTURED_BYTES> = RingBuf::new();
/// A captured frame on its way to the ring buffer.
#[repr(C)]
pub(crate) struct CapturedFrame {
    pub(crate) header: CapturedHeader,
    pub(crate) bytes: [u8; SNAP_MAX],
}

#[btf_map]
pub(crate) static CAPTURED_FRAME: PerCpuArray<CapturedFrame, 1> = PerCpuArray::new();

/// The time since boot that a CPU read last, and in which tick.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Clock {
    pub(crate) tick: u64,
    pub(crate) now: u64,
}

const CASE_WORDS: usize = CASE_SIZE.div_ceil(size_of::<u64>());
#[btf_map]
pub(crate) static CASE: PerCpuArray<[u64; CASE_WORDS], 1> = PerCpuArray::new();

#[btf_map]
pub(crate) static CLOCK: PerCpuArray<Clock, 1> = PerCpuArray::new();

/// Allocated when a pair of list and tenant occurs: many are possible, few occur.
#[btf_map]
pub(crate) static LISTS: PerCpuHashMap<
    ListKey,
    ListCounters,
    LIST_KEYS_MAX,
    { BPF_F_NO_PREALLOC as usize },
> = PerCpuHashMap::new();
#[btf_map]
pub(crate) static EVENTS: RingBuf<Event, EVENTS_BYTES> = RingBuf::new();
#[btf_map]
pub(crate) static EVENT: PerCpuArray<Event, 1> = PerCpuArray::new();
#[btf_map]
pub(crate) static EVENT_LIMITS: Array<u64, { RATE_LIMITS as usize }> = Array::new();

/// Whether look-ups go to the kernel's tries. The verifier sees a constant and removes the other engine.
#[unsafe(no_mangle)]
pub(crate) static LPM: u8 = 0;
/// How many words an image has room for: the true size of the element above.
#[unsafe(no_mangle)]
pub(crate) static IMAGE_WORDS: u64 = 0;
/// The key of the flow cache's checksums, set when the program is loaded.
#[unsafe(no_mangle)]
pub(crate) static CHECKSUM_KEY: ChecksumKey = ChecksumKey([0; 8]);
/// Whether verdicts are written to `VERDICT`.
#[unsafe(no_mangle)]
static TRACE: u8 = 0;

/// Reads a global that the loader may have set; the compiler must not fold it.
#[inline(always)]
pub(crate) fn global(value: &'static u8) -> bool {
    // SAFETY: a reference is valid for reads.
    unsafe { core::ptr::read_volatile(value) != 0 }
}

#[inline(always)]
pub(crate) fn is_traced() -> bool {
    global(&TRACE)
}

/// How many words an image has room for. The verifier sees a constant.
#[inline(always)]
pub(crate) fn image_words() -> u64 {
    // SAFETY: a reference is valid for reads.
    unsafe { core::ptr::read_volatile(&IMAGE_WORDS) }
}

#[inline(always)]
pub(crate) fn checksum_key() -> ChecksumKey {
    // SAFETY: a reference is valid for reads.
    unsafe { core::ptr::read_volatile(&CHECKSUM_KEY) }
}
