//! Every map and every global of the programs, and `Tables` and `Conntrack` over them.
//!
//! ```text
//! IMAGES[0] -> one of two equal images, each an array of one element; a reload fills the other and swaps the slot
//! IMAGES[1] -> the other one, for when IMAGES[0] was on trial and its time is over
//! INTERFACES   interface index -> slot of counters
//! COUNTERS     slot x country -> packets and bytes for each reason and action, per CPU
//! TRIE_*       the kernel's tries for the reference engine: two slots, so that they change with the image
//! FLOWS_*      what our side opened; only egress writes
//! FLOW_CACHE       what was last written of a flow, beside those, where an answer finds it sooner
//! FLOW_COUNTERS  what became of the packets that were looked at for flows, by table, per CPU
//! DATAGRAMS    datagrams whose first fragment passed
//! TENANTS      tenant -> packets and bytes for each reason and action, per CPU
//! HITS         what each exception let pass, per CPU
//! BUCKETS      what sources of blocked countries may still send to exempted services
//! LISTS        list x tenant -> packets for each direction and action, and events of them, per CPU
//! EVENTS       events on their way to the daemon
//! EVENT_LIMITS how fast the events of each list may follow each other
//! CLOCK        the time since boot as it was asked for last, per CPU
//! FAULTS       packets without a policy, per CPU, so that they are spoken of now and then
//! VERDICT      the last verdict, for test runs
//! ```

use core::arch::asm;

use aya_ebpf::bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC};
use aya_ebpf::btf_maps::{
    Array, ArrayOfMaps, LpmTrie, LruHashMap, PerCpuArray, PerCpuHashMap, RingBuf, lpm_trie::Key,
};
use aya_ebpf::macros::btf_map;
use geofence_common::address::Address;
use geofence_common::decide::{Conntrack, Tables};
use geofence_common::event::Event;
use geofence_common::flow::cache::{CACHE_LINES, CacheKey, CacheLine, ChecksumKey};
use geofence_common::flow::rate_limit::RateLimitKey;
use geofence_common::flow::{Datagram, DatagramKey, Flow, FlowKey, Table};
use geofence_common::image::list_set::RATE_LIMITS;
use geofence_common::image::{self, Lookup as _, Words, header};
use geofence_common::maps::{
    CountryCounters, EVENTS_BYTES, FlowCounters, Hits, IMAGE_BEFORE, IMAGE_IN_USE,
    IMAGE_WORDS_PLACEHOLDER, INTERFACES_MAX, LIST_KEYS_MAX, ListCounters, ListKey, TracedVerdict,
};
use geofence_common::opaque::{Barrier, Opaque as _};

use crate::clock::{self, Clock};
use crate::frame;

/// Sizes that depend on the policy and the machine are set by the loader.
const SIZED_BY_LOADER: usize = 1;

/// One element, so that a packet looks its image up once and each word after that is a load.
type Image = Array<[u32; IMAGE_WORDS_PLACEHOLDER as usize], 1, { BPF_F_MMAPABLE as usize }>;

#[btf_map]
static IMAGES: ArrayOfMaps<Image, 2> = ArrayOfMaps::new();
#[btf_map]
pub static INTERFACES: Array<u32, { INTERFACES_MAX as usize }> = Array::new();
#[btf_map]
pub static COUNTERS: PerCpuArray<CountryCounters, SIZED_BY_LOADER> = PerCpuArray::new();
#[btf_map]
pub static FAULTS: PerCpuArray<u64, 1> = PerCpuArray::new();
#[btf_map]
pub static VERDICT: Array<TracedVerdict, 1> = Array::new();

#[btf_map]
static TRIE_V4_A: LpmTrie<[u8; 4], u32, SIZED_BY_LOADER> = LpmTrie::new();
#[btf_map]
static TRIE_V4_B: LpmTrie<[u8; 4], u32, SIZED_BY_LOADER> = LpmTrie::new();
#[btf_map]
static TRIE_V6_A: LpmTrie<[u8; 16], u32, SIZED_BY_LOADER> = LpmTrie::new();
#[btf_map]
static TRIE_V6_B: LpmTrie<[u8; 16], u32, SIZED_BY_LOADER> = LpmTrie::new();

type Flows = LruHashMap<FlowKey, Flow, SIZED_BY_LOADER>;

#[btf_map]
static FLOWS_MAIL: Flows = Flows::new();
#[btf_map]
static FLOWS_DNS: Flows = Flows::new();
#[btf_map]
static FLOWS_OTHER: Flows = Flows::new();
/// Mapped, so that it starts at a page and each line is one of the processor's cache.
#[btf_map]
static FLOW_CACHE: Array<CacheLine, { CACHE_LINES }, { BPF_F_MMAPABLE as usize }> = Array::new();
#[btf_map]
pub static FLOW_COUNTERS: PerCpuArray<FlowCounters, { Table::ALL.len() }> = PerCpuArray::new();
#[btf_map]
static DATAGRAMS: LruHashMap<DatagramKey, Datagram, SIZED_BY_LOADER> = LruHashMap::new();

#[btf_map]
pub static TENANTS: PerCpuArray<CountryCounters, SIZED_BY_LOADER> = PerCpuArray::new();
#[btf_map]
pub static HITS: PerCpuArray<Hits, SIZED_BY_LOADER> = PerCpuArray::new();
#[btf_map]
static BUCKETS: LruHashMap<RateLimitKey, u64, SIZED_BY_LOADER> = LruHashMap::new();

#[btf_map]
pub static CLOCK: PerCpuArray<Clock, 1> = PerCpuArray::new();

/// Without memory until a pair of a list and a tenant is met: there could be very many, and there are few.
#[btf_map]
pub static LISTS: PerCpuHashMap<
    ListKey,
    ListCounters,
    LIST_KEYS_MAX,
    { BPF_F_NO_PREALLOC as usize },
> = PerCpuHashMap::new();
#[btf_map]
pub static EVENTS: RingBuf<Event, EVENTS_BYTES> = RingBuf::new();
#[btf_map]
pub static EVENT_LIMITS: Array<u64, { RATE_LIMITS as usize }> = Array::new();

/// Whether look-ups go to the kernel's tries. The verifier sees a constant and removes the other engine.
#[unsafe(no_mangle)]
static LPM: u8 = 0;
/// How many words an image has room for: the true size of the element above.
#[unsafe(no_mangle)]
static IMAGE_WORDS: u64 = 0;
/// What proves a line of `FLOW_CACHE`. Not known before the program is loaded.
#[unsafe(no_mangle)]
static CHECKSUM_KEY: ChecksumKey = ChecksumKey([0; 8]);
/// Whether verdicts are written to `VERDICT`.
#[unsafe(no_mangle)]
static TRACE: u8 = 0;

/// Reads a global that the loader may have set; the compiler must not fold it.
#[inline(always)]
fn global(value: &'static u8) -> bool {
    // SAFETY: a reference is valid for reads.
    unsafe { core::ptr::read_volatile(value) != 0 }
}

#[inline(always)]
pub fn is_traced() -> bool {
    global(&TRACE)
}

/// A key of the kernel's tries whose address is aligned, as the verifier wants of words on the stack.
#[repr(C, align(8))]
struct TrieKey<K> {
    padding: u32,
    key: Key<K>,
}

impl<K> TrieKey<K> {
    #[inline(always)]
    fn new(length: u32, address: K) -> Self {
        Self {
            padding: 0,
            key: Key::new(length, address),
        }
    }
}

/// Asks the table of flows of this kind.
///
/// A call for each table: one whose table depends on the packet goes by the kernel's generic helper and two pointers to
/// functions, where the verifier makes of one that names its table the look-up itself.
macro_rules! in_table {
    ($table:expr, |$flows:ident| $ask:expr) => {
        match $table {
            Table::Mail => in_table!(FLOWS_MAIL, $flows, $ask),
            Table::Dns => in_table!(FLOWS_DNS, $flows, $ask),
            Table::Other => in_table!(FLOWS_OTHER, $flows, $ask),
        }
    };
    ($map:ident, $flows:ident, $ask:expr) => {{
        let $flows: &Flows = &$map;
        let answer = $ask;
        // The compiler makes one of calls after which the same happens, so something else does after each.
        // SAFETY: it changes a register that nobody reads.
        unsafe { asm!(concat!("{0} = 0 // ", stringify!($map)), out(reg) _, options(nomem, nostack)) };
        answer
    }};
}

#[inline(always)]
fn checksum_key() -> ChecksumKey {
    // SAFETY: a reference is valid for reads.
    unsafe { core::ptr::read_volatile(&CHECKSUM_KEY) }
}

/// The flow, if its line still says so.
#[inline(always)]
fn cached_flow(table: Table, key: &FlowKey) -> Option<Flow> {
    let checksum_key = checksum_key();
    let cache_key = CacheKey::of(table, key, &checksum_key);
    let line = FLOW_CACHE.get_ptr(cache_key.slot())?;
    // SAFETY: the element is a whole `CacheLine`. Another CPU may be writing it; its last word tells.
    cache_key.read(&unsafe { line.read_volatile() }, &checksum_key)
}

#[inline(always)]
fn cache_flow(table: Table, key: &FlowKey, flow: &Flow) {
    let checksum_key = checksum_key();
    let cache_key = CacheKey::of(table, key, &checksum_key);
    if let Some(line) = FLOW_CACHE.get_ptr_mut(cache_key.slot()) {
        // SAFETY: the element is a whole `CacheLine`. Another CPU may be reading or writing it; its last word tells.
        unsafe { line.write_volatile(cache_key.line_of(flow, &checksum_key)) };
    }
}

/// The tables of one generation: the image is looked up once a packet, everything else through it.
pub struct KernelTables {
    words: *const u32,
    /// How many of them there are. A long number, so that a position is made one before it is compared, and not twice,
    /// of which the verifier would know one to be within and not the other.
    room: u64,
}

impl KernelTables {
    #[inline(always)]
    pub fn current() -> Option<Self> {
        let image = Self::at(IMAGE_IN_USE)?;
        if image.is_past_trial(|| image.now()) {
            // There is always one before a trial begins.
            return Self::at(IMAGE_BEFORE);
        }
        Some(image)
    }

    #[inline(always)]
    fn at(place: u32) -> Option<Self> {
        let image = IMAGES.get(place)?.get_ptr(0)?;
        Some(Self {
            words: image.cast(),
            // SAFETY: a reference is valid for reads. The verifier sees a constant, and so what the pointer may reach.
            room: unsafe { core::ptr::read_volatile(&IMAGE_WORDS) },
        })
    }

    #[inline(always)]
    fn some<const COUNT: usize>(&self, at: u32) -> Option<[u32; COUNT]> {
        let at = u64::from(at);
        // The room is taken from, and not the position added to, so that it is the position that is known to be within.
        if at >= self.room - (COUNT as u64 - 1) {
            return None;
        }
        // SAFETY: the element has `room` words, and these are those from `at`, of which the last was just compared.
        Some(unsafe { *self.words.add(at as usize).cast() })
    }
}

impl Barrier for KernelTables {
    #[inline(always)]
    fn hide(&self, number: u64) -> u64 {
        frame::hide(number, frame::zero())
    }
}

impl Words for KernelTables {
    #[inline(always)]
    fn word(&self, at: u32) -> Option<u32> {
        let at = u64::from(at);
        if at >= self.room {
            return None;
        }
        // SAFETY: the element has `room` words, and this is one of them, as just compared.
        Some(unsafe { *self.words.add(at as usize) })
    }

    #[inline(always)]
    fn quad(&self, at: u32) -> Option<[u32; 4]> {
        self.some(at)
    }

    #[inline(always)]
    fn line(&self, at: u32) -> Option<image::Line> {
        self.some(at)
    }
}

impl Tables for KernelTables {
    #[inline(always)]
    fn lookup(&self, address: &Address) -> Option<u32> {
        if !global(&LPM) {
            let found = self.class_lookup(address);
            return found.map(|at| at.opaque(self));
        }
        let second = geofence_common::image::Flags(self.word(header::FLAGS as u32)?).slot() != 0;
        let [high, low] = address.words();
        if address.is_v6() {
            let bits = u128::from(high) << 64 | u128::from(low);
            let key = &TrieKey::new(128, bits.to_be_bytes()).key;
            if second {
                TRIE_V6_B.get(key).copied()
            } else {
                TRIE_V6_A.get(key).copied()
            }
        } else {
            let key = &TrieKey::new(32, ((high >> 32) as u32).to_be_bytes()).key;
            if second {
                TRIE_V4_B.get(key).copied()
            } else {
                TRIE_V4_A.get(key).copied()
            }
        }
    }

    #[inline(always)]
    fn now(&self) -> u64 {
        clock::now()
    }

    #[inline(always)]
    fn now_coarse(&self) -> u64 {
        clock::now_coarse()
    }

    #[inline(always)]
    fn flow(&self, table: Table, key: &FlowKey) -> Option<Flow> {
        if let Some(flow) = cached_flow(table, key) {
            return Some(flow);
        }
        let flow = in_table!(table, |flows| flows.get_ptr(key))?;
        // SAFETY: the entry is a whole `Flow`. Another CPU may be writing it; each field is read at once, and whichever
        // of two deadlines is read was one of this flow's or, of an entry just recycled, of another live one's.
        Some(unsafe { flow.read_volatile() })
    }

    #[inline(always)]
    fn datagram(&self, key: &DatagramKey) -> Option<Datagram> {
        let datagram = DATAGRAMS.get_ptr(key)?;
        // SAFETY: as for a flow.
        Some(unsafe { datagram.read_volatile() })
    }

    #[inline(always)]
    fn store_datagram(&self, key: &DatagramKey, datagram: Datagram) {
        // The table evicts to make room; what it cannot take, its later fragments are dropped and say so.
        let _ = DATAGRAMS.insert(key, datagram, 0);
    }

    #[inline(always)]
    fn try_acquire(&self, key: &RateLimitKey, try_acquire: impl Fn(u64) -> Option<u64>) -> bool {
        let Some(bucket) = BUCKETS.get_ptr_mut(key) else {
            let Some(full) = try_acquire(0) else {
                return false;
            };
            // The table evicts to make room; a source it cannot take is not bounded.
            let _ = BUCKETS.insert(key, full, 0);
            return true;
        };
        // SAFETY: the entry is a whole number, read and written at once; see `geofence_common::flow::rate_limit` for two CPUs.
        unsafe {
            let Some(full) = try_acquire(bucket.read_volatile()) else {
                return false;
            };
            bucket.write_volatile(full);
        }
        true
    }
}

impl Conntrack for KernelTables {
    #[inline(always)]
    fn update(&self, table: Table, key: &FlowKey, change: impl FnOnce(Flow) -> Flow) -> bool {
        // In place: to update an existing key of a full table would evict others.
        let Some(flow) = in_table!(table, |flows| flows.get_ptr_mut(key)) else {
            return false;
        };
        // SAFETY: as for reading one.
        let changed = change(unsafe { flow.read_volatile() });
        // SAFETY: as for reading one; of two CPUs that write the same flow, either's deadline is right.
        unsafe { flow.write_volatile(changed) };
        cache_flow(table, key, &changed);
        true
    }

    #[inline(always)]
    fn open(&self, table: Table, key: &FlowKey, flow: Flow) -> bool {
        let is_in = in_table!(table, |flows| flows.insert(key, flow, 0)).is_ok();
        if is_in {
            cache_flow(table, key, &flow);
        }
        is_in
    }
}
