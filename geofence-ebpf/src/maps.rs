//! Every map and every global of the program, and `Tables` over them.
//!
//! ```text
//! IMAGES[0] -> one of two equal arrays of lines; a reload fills the other and swaps the slot
//! INTERFACES   interface index -> slot of counters
//! COUNTERS     slot x country -> packets and bytes for each reason and action, per CPU
//! TRIE_*       the kernel's tries for the reference engine: two slots, so that they change with the image
//! FAULTS       packets without a policy, per CPU, so that they are spoken of now and then
//! VERDICT      the last verdict, for test runs
//! ```

use aya_ebpf::btf_maps::{Array, ArrayOfMaps, LpmTrie, PerCpuArray, lpm_trie::Key};
use aya_ebpf::macros::btf_map;
use geofence_common::address::Address;
use geofence_common::image::{LINE_WORDS, Line, Words, header};
use geofence_common::layout::{
    CountryCounters, IMAGE_LINES_PLACEHOLDER, INTERFACES_MAX, TracedVerdict,
};
use geofence_common::policy::Tables;

/// Sizes that depend on the policy and the machine are set by the loader.
const SIZED_BY_LOADER: usize = 1;

type Image = Array<Line, { IMAGE_LINES_PLACEHOLDER as usize }>;

#[btf_map]
static IMAGES: ArrayOfMaps<Image, 1> = ArrayOfMaps::new();
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

/// Whether look-ups go to the kernel's tries. The verifier sees a constant and removes the other engine.
#[unsafe(no_mangle)]
static LPM: u8 = 0;
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

/// The tables of one generation: the image is looked up once a packet, everything else through it.
pub struct Live {
    image: &'static Image,
}

impl Live {
    #[inline(always)]
    pub fn current() -> Option<Self> {
        IMAGES.get(0).map(|image| Self { image })
    }
}

impl Words for Live {
    #[inline(always)]
    fn word(&self, at: u32) -> Option<u32> {
        let line = self.image.get(at / LINE_WORDS as u32)?;
        let word = at as usize % LINE_WORDS;
        // SAFETY: the remainder is smaller than a line.
        Some(unsafe { *line.get_unchecked(word) })
    }
}

impl Tables for Live {
    #[inline(always)]
    fn lookup(&self, address: &Address) -> Option<u32> {
        if !global(&LPM) {
            return self.trie_lookup(address);
        }
        let second = geofence_common::image::Flags(self.word(header::FLAGS as u32)?).slot() != 0;
        match address {
            Address::V4(bytes) => {
                let key = Key::new(32, *bytes);
                if second {
                    TRIE_V4_B.get(&key).copied()
                } else {
                    TRIE_V4_A.get(&key).copied()
                }
            }
            Address::V6(bytes) => {
                let key = Key::new(128, *bytes);
                if second {
                    TRIE_V6_B.get(&key).copied()
                } else {
                    TRIE_V6_A.get(&key).copied()
                }
            }
        }
    }
}
