//! `Tables` and `Conntrack` over the maps: what a decision consults in the kernel.

use core::arch::asm;
use core::hint::black_box;
use core::marker::PhantomData;
use core::mem::MaybeUninit;

use aya_ebpf::btf_maps::lpm_trie::Key;
use geofence_common::address::Address;
use geofence_common::decide::{CASE_SIZE, Conntrack, Tables};
use geofence_common::flow::cache::CacheKey;
use geofence_common::flow::rate_limit::RateLimitKey;
use geofence_common::flow::{Datagram, DatagramKey, Flow, FlowKey, Table};
use geofence_common::image::{Flags, Line, Lookup as _, Words, header};
use geofence_common::maps::{IMAGE_BEFORE, IMAGE_IN_USE};
use geofence_common::opaque::{Barrier, Opaque as _};
use geofence_common::service::place;

use crate::maps::{self, Flows};
use crate::{clock, counters, frame};

/// A key of the kernel's tries with an aligned address, as the verifier requires of words on the stack.
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

/// Evaluates an expression on a flow table.
///
/// One call for each table: if the table depended on the packet, the call would go through the kernel's generic helper
/// and two function pointers. With a constant table the verifier inlines the look-up.
macro_rules! in_table {
    ($table:expr, |$flows:ident| $ask:expr) => {
        match $table {
            Table::Mail => in_table!(FLOWS_MAIL, $flows, $ask),
            Table::Dns => in_table!(FLOWS_DNS, $flows, $ask),
            Table::Other => in_table!(FLOWS_OTHER, $flows, $ask),
        }
    };
    ($map:ident, $flows:ident, $ask:expr) => {{
        let $flows: &Flows = &maps::$map;
        let answer = $ask;
        // The compiler would merge calls that are followed by the same code, so a different instruction follows each.
        // SAFETY: it sets a register that nothing reads.
        unsafe { asm!(concat!("{0} = 0 // ", stringify!($map)), out(reg) _, options(nomem, nostack)) };
        answer
    }};
}

/// The flow, if the cache holds it.
#[inline(always)]
fn cached_flow(table: Table, key: &FlowKey) -> Option<Flow> {
    let checksum_key = maps::checksum_key();
    let cache_key = CacheKey::of(table, key, &checksum_key);
    let line = maps::FLOW_CACHE.get_ptr(cache_key.slot())?;
    // SAFETY: the element is a whole `CacheLine`. Another CPU may be writing it; the checksum detects that.
    cache_key.read(&unsafe { line.read_volatile() }, &checksum_key)
}

#[inline(always)]
fn cache_flow(table: Table, key: &FlowKey, flow: &Flow) {
    let checksum_key = maps::checksum_key();
    let cache_key = CacheKey::of(table, key, &checksum_key);
    if let Some(line) = maps::FLOW_CACHE.get_ptr_mut(cache_key.slot()) {
        // SAFETY: the element is a whole `CacheLine`. Another CPU may be using it; the checksum detects that.
        unsafe { line.write_volatile(cache_key.line_of(flow, &checksum_key)) };
    }
}

/// Which rules a program has.
pub(crate) trait Variant {
    const HAS_RULES: bool = false;
    const IS_FAST_PATH: bool = false;
}

/// None: for policies without rules.
pub(crate) struct Bare;

impl Variant for Bare {}

/// None: for packets that no rule concerns, in policies with rules.
pub(crate) struct FastPath;

impl Variant for FastPath {
    const IS_FAST_PATH: bool = true;
}

/// All of them.
pub(crate) struct Rules;

impl Variant for Rules {
    const HAS_RULES: bool = true;
}

/// The tables of one image, as a variant of the program reads them. The image is looked up once a packet.
pub(crate) struct KernelTables<V> {
    variant: PhantomData<V>,
    words: *const u32,
    /// The number of words, in the 64 bits that are compared.
    room: u64,
    /// The header's settings, which several questions depend on.
    flags: Flags,
}

impl<V: Variant> KernelTables<V> {
    #[inline(always)]
    pub(crate) fn current() -> Option<Self> {
        let image = Self::at(IMAGE_IN_USE)?;
        if image.is_past_trial(|| image.now()) {
            // A previous image exists while one is on trial.
            return Self::at(IMAGE_BEFORE);
        }
        Some(image)
    }

    #[inline(always)]
    pub(crate) fn at(place: u32) -> Option<Self> {
        let words: *const u32 = maps::IMAGES.get(place)?.get_ptr(0)?.cast();
        // SAFETY: every image holds its header.
        let flags: u32 = unsafe { *words.add(header::FLAGS) };
        Some(Self {
            variant: PhantomData,
            words,
            // The verifier sees a constant, and so what the pointer may reach.
            room: maps::image_words(),
            flags: Flags(flags),
        })
    }

    /// The word at a position, if that is less than `room`.
    ///
    /// In assembly, so that the register that is compared is the one that is added to the pointer. The compiler may
    /// add a copy from the stack, of which the verifier learns nothing from the comparison before Linux 6.8.
    #[expect(
        clippy::pointers_in_nomem_asm_block,
        reason = "the address is computed and not read through"
    )]
    #[inline(always)]
    fn reach(&self, at: u32, room: u64) -> Option<*const u32> {
        let pointer;
        // SAFETY: it changes one register, to the address of a word of the element if `room` is at most its words.
        unsafe {
            asm!(
                "if {at} >= {room} goto {out}",
                "{at} <<= 2",
                "{at} += {words}",
                at = inout(reg) u64::from(at) => pointer,
                room = in(reg) room,
                words = in(reg) self.words,
                out = label { return None },
                options(nomem, nostack),
            );
        }
        Some(pointer)
    }

    #[inline(always)]
    fn some<const COUNT: usize>(&self, at: u32) -> Option<[u32; COUNT]> {
        let words = self.reach(at, self.room - (COUNT as u64 - 1))?;
        // SAFETY: the element has `room` words, and these are those from `at`, of which the last was just compared.
        Some(unsafe { *words.cast() })
    }
}

impl<V> Barrier for KernelTables<V> {
    #[inline(always)]
    fn hide(&self, number: u64) -> u64 {
        frame::hide(number, frame::zero())
    }
}

impl<V: Variant> Words for KernelTables<V> {
    const HAS_RULES: bool = V::HAS_RULES;
    const IS_FAST_PATH: bool = V::IS_FAST_PATH;

    #[inline(always)]
    fn word(&self, at: u32) -> Option<u32> {
        let word = self.reach(at, self.room)?;
        // SAFETY: the element has `room` words, and this is one of them, as just compared.
        Some(unsafe { *word })
    }

    #[inline(always)]
    fn flags(&self) -> Option<Flags> {
        // Opaque: the verifier must not remember in one question what an earlier one learned of a flag.
        Some(self.flags.opaque(self))
    }

    #[inline(always)]
    fn quad(&self, at: u32) -> Option<[u32; 4]> {
        self.some(at)
    }

    #[inline(always)]
    fn line(&self, at: u32) -> Option<Line> {
        self.some(at)
    }
}

impl<V: Variant> Tables for KernelTables<V> {
    #[inline(always)]
    fn lookup(&self, address: &Address) -> Option<u32> {
        if !maps::global(&maps::LPM) {
            let found = self.class_lookup(address);
            return found.map(|at| at.opaque(self));
        }
        let second = self.flags.slot() != 0;
        let [high, low] = address.words();
        if address.is_v6() {
            let bits = u128::from(high) << 64 | u128::from(low);
            let key = &TrieKey::new(128, bits.to_be_bytes()).key;
            if second {
                maps::TRIE_V6_B.get(key).copied()
            } else {
                maps::TRIE_V6_A.get(key).copied()
            }
        } else {
            let key = &TrieKey::new(32, ((high >> 32) as u32).to_be_bytes()).key;
            if second {
                maps::TRIE_V4_B.get(key).copied()
            } else {
                maps::TRIE_V4_A.get(key).copied()
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
        // A cached copy would not know how many answers have come.
        if key.answers_max().is_none()
            && let Some(flow) = cached_flow(table, key)
        {
            return Some(flow);
        }
        let flow = in_table!(table, |flows| flows.get_ptr(key))?;
        // SAFETY: the entry is a whole `Flow`. Another CPU may be writing it; each field is read at once. A
        // deadline that is read was this flow's or, of an entry just recycled, another live flow's.
        Some(unsafe { flow.read_volatile() })
    }

    #[inline(always)]
    fn take_answer(&self, table: Table, key: &FlowKey) -> bool {
        let Some(flow) = in_table!(table, |flows| flows.get_ptr_mut(key)) else {
            return false;
        };
        // SAFETY: the entry is a whole `Flow`, and the field is read and written at once. Of two CPUs that take at the
        // same moment one may not be counted.
        unsafe {
            let answers = &raw mut (*flow).answers;
            let left = answers.read_volatile();
            if left == 0 {
                return false;
            }
            answers.write_volatile(left - 1);
        }
        true
    }

    #[inline(always)]
    fn with_case<C: Copy, R>(&self, case: C, decide: impl FnOnce(&C) -> R) -> Option<R> {
        const {
            assert!(size_of::<C>() <= CASE_SIZE && align_of::<C>() <= align_of::<u64>());
        }
        let place = maps::CASE.get_ptr_mut(0)?;
        // SAFETY: the element has room for a case and its alignment, and is this CPU's own: a program that filters is
        // not interrupted by another.
        let place = unsafe { &mut *place.cast::<MaybeUninit<C>>() };
        let place: &C = place.write(case);
        Some(decide(black_box(place)))
    }

    #[inline(always)]
    fn datagram(&self, key: &DatagramKey) -> Option<Datagram> {
        let datagram = maps::DATAGRAMS.get_ptr(key)?;
        // SAFETY: as for a flow.
        Some(unsafe { datagram.read_volatile() })
    }

    #[inline(always)]
    fn store_datagram(&self, key: &DatagramKey, datagram: Datagram) {
        // The table evicts others when it is full. Of a datagram that it does not take, later fragments are dropped.
        let _ = maps::DATAGRAMS.insert(key, &datagram, 0);
    }

    #[inline(always)]
    fn try_acquire(&self, key: &RateLimitKey, try_acquire: impl Fn(u64) -> Option<u64>) -> bool {
        let Some(state) = maps::BUCKETS.get_ptr_mut(key) else {
            let Some(next) = try_acquire(0) else {
                return false;
            };
            // The table evicts others when it is full. A source that it does not take is not limited.
            let _ = maps::BUCKETS.insert(key, &next, 0);
            return true;
        };
        // SAFETY: the entry is a whole number, read and written at once; `geofence_common::flow::rate_limit` explains
        // two CPUs.
        unsafe {
            let Some(next) = try_acquire(state.read_volatile()) else {
                return false;
            };
            state.write_volatile(next);
        }
        true
    }

    #[inline(always)]
    fn count_service(&self, protocol: u8, port: u16) {
        counters::count_service(place(protocol, port));
    }
}

impl<V: Variant> Conntrack for KernelTables<V> {
    #[inline(always)]
    fn update(&self, table: Table, key: &FlowKey, change: impl FnOnce(Flow) -> Flow) -> bool {
        // In place, because updating an existing key of a full table would evict others.
        let Some(flow) = in_table!(table, |flows| flows.get_ptr_mut(key)) else {
            return false;
        };
        // SAFETY: as for reading one.
        let changed = change(unsafe { flow.read_volatile() });
        // SAFETY: as for reading one; of two CPUs that write the same flow, either's deadline is right.
        unsafe { flow.write_volatile(changed) };
        if key.answers_max().is_none() {
            cache_flow(table, key, &changed);
        }
        true
    }

    #[inline(always)]
    fn open(&self, table: Table, key: &FlowKey, flow: Flow) -> bool {
        let is_in = in_table!(table, |flows| flows.insert(key, &flow, 0)).is_ok();
        if is_in && key.answers_max().is_none() {
            cache_flow(table, key, &flow);
        }
        is_in
    }
}
