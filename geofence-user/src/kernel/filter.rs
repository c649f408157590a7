//! A loaded program and its maps: two images, the tries of the reference engine, the counters.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;
use std::time::Duration;

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, ArrayOfMaps, Map, MapData, MapError, PerCpuArray};
use aya::programs::links::LinkError;
use aya::programs::{ProgramError, ProgramInfo, SchedClassifier, Xdp};
use aya::util::KernelVersion;
use aya::{Ebpf, EbpfError, EbpfLoader, VerifierLogLevel};
use geofence_common::action::{Action, Reason};
use geofence_common::country::{COUNTRIES_MAX, Country};
use geofence_common::flow::Table;
use geofence_common::flow::cache::ChecksumKey;
use geofence_common::image::{LINE_WORDS, header};
use geofence_common::maps::{
    Counter, CountryCounters, IMAGE_BEFORE, IMAGE_IN_USE, INTERFACE_SLOTS_MAX, INTERFACES_MAX,
    counters_key, name,
};

use aya_log::EbpfLogger;

use super::KERNEL_MIN;
use super::call::{OfCall, is_for_perfmon, is_permission, told};
use super::image_map::ImageMap;
use super::load::{answered, load_both};
use super::object;
use super::pins::{PinError, Pins};
use super::retry;
use super::tables::{Kept, Sizes};
use crate::compile::{Image, LpmPrefixes};
use crate::model::filter_options::FilterOptions;
use crate::model::policy::Lookup;
use crate::os::clock::ClockError;

/// Fragmented datagrams of blocked countries under way at once. A kernel reassembles far fewer (ipfrag_high_thresh).
const DATAGRAMS_MAX: u32 = 16_384;

/// Why the program is not loaded or does not have its image.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(
        "Linux {found} is too old: geofence needs {}.{} or later, for XDP on frames of several buffers. \
         Boot a newer kernel",
        KERNEL_MIN.0, KERNEL_MIN.1
    )]
    KernelTooOld { found: String },
    #[error(
        "missing privilege: {call} was refused. geofence loads a program into the kernel, which takes root, or the \
         capabilities CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN: run it with sudo, or as a service with those"
    )]
    Privilege { call: String },
    #[error(
        "{given} interfaces are more than the {} one geofence counts; run another for the rest",
        INTERFACE_SLOTS_MAX - 1
    )]
    TooManyInterfaces { given: u32 },
    #[error("the program in this binary has no place for the image size; rebuild geofence")]
    Object,
    #[error("the kernel does not load the program: {}", told(.0.as_ref()))]
    Ebpf(Box<EbpfError>),
    #[error("the kernel does not take the program: {}", told(.0.as_ref()))]
    Program(Box<ProgramError>),
    #[error(
        "the table {path:?} of the running filter is there and cannot be opened: {cause}. Without it what was counted \
         would be lost, so nothing has been changed; start again"
    )]
    Table { path: PathBuf, cause: String },
    #[error(
        "the kernel was asked whether it has {feature}, as every Linux from {}.{} on has, and {call} failed. The \
         reason is not known; most often memory is short. Nothing has been changed; start again",
        KERNEL_MIN.0, KERNEL_MIN.1
    )]
    Unanswered {
        feature: &'static str,
        call: &'static str,
    },
    #[error("{doing}: {}", told(.cause.as_ref()))]
    Map {
        doing: &'static str,
        cause: Box<MapError>,
    },
    #[error("{doing}: {}", told(.cause.as_ref()))]
    Link {
        doing: &'static str,
        cause: Box<LinkError>,
    },
    #[error(
        "the running filter was loaded by another version of geofence, which keeps its policy otherwise; ask with that \
         version, or restart the filter with this one"
    )]
    OtherVersion,
    #[error("{doing}: {cause}")]
    Memory {
        doing: &'static str,
        cause: std::io::Error,
    },
    #[error("nothing filters yet, so there is nothing to go back to")]
    NothingBefore,
    #[error(transparent)]
    Clock(#[from] ClockError),
    #[error("the program has no map {0}; rebuild geofence")]
    NoMap(&'static str),
    #[error(transparent)]
    Pins(Box<PinError>),
    #[error(
        "the policy needs an image of {needed} lines of 64 bytes and there is room for {room}; the running policy \
         stays. Set capacity-mib to at least {} and restart", needed.div_ceil(16_384)
    )]
    ImageTooLarge { needed: usize, room: u32 },
}

impl From<EbpfError> for LoadError {
    fn from(error: EbpfError) -> Self {
        if is_permission(&error) {
            Self::privilege(&error)
        } else {
            Self::Ebpf(Box::new(error))
        }
    }
}

impl From<PinError> for LoadError {
    fn from(error: PinError) -> Self {
        Self::Pins(Box::new(error))
    }
}

impl From<ProgramError> for LoadError {
    fn from(error: ProgramError) -> Self {
        if is_permission(&error) || is_for_perfmon(&error) {
            Self::privilege(&error)
        } else {
            Self::Program(Box::new(error))
        }
    }
}

impl LoadError {
    fn privilege(error: &impl OfCall) -> Self {
        Self::Privilege {
            call: error.call().unwrap_or_else(|| "bpf(2)".to_owned()),
        }
    }
}

pub(super) fn map_error(doing: &'static str) -> impl Fn(MapError) -> LoadError {
    move |cause| LoadError::Map {
        doing,
        cause: Box::new(cause),
    }
}

/// A loaded filter. Dropped, it goes, unless it was pinned to an interface.
pub struct Filter {
    ebpf: Ebpf,
    /// The tables that are pinned.
    pub(super) kept: Kept,
    images: [ImageMap; 2],
    /// Which image the kernel reads; none before the first.
    current: Option<usize>,
    options: FilterOptions,
}

impl Filter {
    /// Loads the program and creates its maps. Nothing is attached and no image is in place.
    pub fn load(options: FilterOptions) -> Result<Self, LoadError> {
        Self::build(object::OBJECT, options, &[], None)
    }

    /// As `load`, with those tables of an earlier filter that fit.
    pub fn load_onto(options: FilterOptions, pins: &Pins) -> Result<Self, LoadError> {
        Self::build(object::OBJECT, options, &[], Some(pins))
    }

    /// As `load`, for another object that has the program and its maps among its own, of which these are sized. For
    /// benchmarks.
    #[doc(hidden)]
    pub fn load_object(
        object: &[u8],
        options: FilterOptions,
        sizes: &[(&'static str, u32)],
    ) -> Result<Self, LoadError> {
        Self::build(object, options, sizes, None)
    }

    fn build(
        object: &[u8],
        options: FilterOptions,
        more: &[(&'static str, u32)],
        pins: Option<&Pins>,
    ) -> Result<Self, LoadError> {
        let version = KernelVersion::current().map_err(|error| LoadError::KernelTooOld {
            found: error.to_string(),
        })?;
        if version < KernelVersion::new(KERNEL_MIN.0, KERNEL_MIN.1, 0) {
            return Err(LoadError::KernelTooOld {
                found: format!("{version:?}"),
            });
        }
        if options.interfaces >= INTERFACE_SLOTS_MAX {
            return Err(LoadError::TooManyInterfaces {
                given: options.interfaces,
            });
        }
        let image_words = options.image_lines.saturating_mul(LINE_WORDS as u32);
        let image_room = u64::from(image_words);
        let object = object::with_image_words(object, image_words).ok_or(LoadError::Object)?;
        let tries = match options.lookup {
            Lookup::ArrayTrie => 1,
            Lookup::LpmTrie => options.trie_entries,
        };
        let (lpm, traced) = (
            u8::from(options.lookup == Lookup::LpmTrie),
            u8::from(options.traced),
        );
        // Slot 0 is for frames of an interface that has none of its own.
        let counters = (options.interfaces + 1) * COUNTRIES_MAX as u32;
        let mut sizes: Sizes = vec![
            (name::COUNTERS, counters),
            (name::DATAGRAMS, DATAGRAMS_MAX),
            (name::TENANTS, options.tenants),
            (name::HITS, options.exceptions),
            (name::BUCKETS, options.buckets),
        ];
        sizes.extend(name::TRIES_V4.into_iter().zip([tries; 2]));
        sizes.extend(name::TRIES_V6.into_iter().zip([tries; 2]));
        sizes.extend(name::FLOWS.into_iter().zip(options.flows));
        sizes.extend_from_slice(more);
        let secret = secret();
        let mut loader = EbpfLoader::new();
        let kept = match pins {
            Some(pins) => Kept::find(&object, &mut sizes, pins, &mut loader)?,
            None => Kept::default(),
        };
        loader
            .verifier_log_level(VerifierLogLevel::STATS)
            .override_global(name::LPM, &lpm, true)
            .override_global(name::TRACE, &traced, true)
            .override_global(name::CHECKSUM_KEY, &secret, true)
            .override_global(name::IMAGE_WORDS, &image_room, true);
        for (map, entries) in sizes {
            loader.map_max_entries(map, entries);
        }
        let loaded = loader.load(&object).map_err(|error| match pins {
            Some(pins) => kept.blame(pins, error),
            None => error.into(),
        });
        let mut ebpf = match loaded {
            Err(error @ LoadError::Privilege { .. }) => return Err(error),
            loaded => {
                answered()?;
                loaded?
            }
        };
        load_both(&mut ebpf)?;
        let create = || {
            ImageMap::create(options.image_lines).map_err(|error| {
                if is_permission(&error) {
                    LoadError::privilege(&error)
                } else {
                    map_error("creating the image map")(error)
                }
            })
        };
        let images = [create()?, create()?];
        Ok(Self {
            ebpf,
            kept,
            images,
            current: None,
            options,
        })
    }

    /// What its maps were sized by.
    #[must_use]
    pub fn options(&self) -> FilterOptions {
        self.options
    }

    pub(super) fn flow_capacity(&self, table: Table) -> u32 {
        self.options.flows[table as usize]
    }

    /// The tries' slot that the next image must be compiled for.
    #[must_use]
    pub fn next_slot(&self) -> u32 {
        match self.current {
            Some(0) => 1,
            Some(_) | None => 0,
        }
    }

    /// Writes an image aside and puts it in place of the current one with a single swap.
    ///
    /// The kernel lets the last packet that reads the old image finish before the swap returns, so the old image may be
    /// overwritten by the next call. Any error leaves the current image in place.
    pub fn install(&mut self, image: &Image, tries: Option<&LpmPrefixes>) -> Result<(), LoadError> {
        let idle = self.write_aside(image, tries)?;
        self.use_image(IMAGE_IN_USE, idle, "swapping the image")?;
        self.current = Some(idle);
        Ok(())
    }

    /// As `install`, until a time in nanoseconds since boot. Then the kernel goes back to the image before by itself,
    /// unless there was a `confirm`; neither `install` nor another trial may come in between.
    pub fn try_out(
        &mut self,
        image: &Image,
        tries: Option<&LpmPrefixes>,
        ends: u64,
    ) -> Result<(), LoadError> {
        let before = self.current.ok_or(LoadError::NothingBefore)?;
        let idle = self.write_aside(&image.clone().on_trial(ends), tries)?;
        self.use_image(IMAGE_BEFORE, before, "keeping the image before")?;
        self.use_image(IMAGE_IN_USE, idle, "swapping the image")?;
        self.current = Some(idle);
        Ok(())
    }

    /// Makes an image that was on trial count for good.
    pub fn confirm(&mut self, image: &Image) -> Result<(), LoadError> {
        let current = self.current.ok_or(LoadError::NothingBefore)?;
        self.images[current]
            .set_word(header::FLAGS, image.flags().0)
            .map_err(|cause| LoadError::Memory {
                doing: "confirming the image",
                cause,
            })
    }

    /// Goes back to the image before a trial.
    pub fn go_back(&mut self) -> Result<(), LoadError> {
        let before = self.next_slot() as usize;
        self.use_image(IMAGE_IN_USE, before, "swapping the image back")?;
        self.current = Some(before);
        Ok(())
    }

    /// Writes an image where no packet looks, and answers with where that is.
    fn write_aside(
        &mut self,
        image: &Image,
        tries: Option<&LpmPrefixes>,
    ) -> Result<usize, LoadError> {
        let lines = image.lines();
        if lines.len() > self.options.image_lines as usize {
            return Err(LoadError::ImageTooLarge {
                needed: lines.len(),
                room: self.options.image_lines,
            });
        }
        let idle = self.next_slot() as usize;
        if let Some(tries) = tries {
            let slot = image.flags().slot() as usize & 1;
            self.fill_trie(name::TRIES_V4[slot], &tries.v4)?;
            self.fill_trie(name::TRIES_V6[slot], &tries.v6)?;
        }
        self.images[idle]
            .write(lines)
            .map_err(|cause| LoadError::Memory {
                doing: "writing the image",
                cause,
            })?;
        Ok(idle)
    }

    /// Puts one of the two images in a place where packets look.
    fn use_image(&mut self, place: u32, at: usize, doing: &'static str) -> Result<(), LoadError> {
        let map = self
            .ebpf
            .map_mut(name::IMAGES)
            .ok_or(LoadError::NoMap(name::IMAGES))?;
        let mut outer: ArrayOfMaps<_, MapData> =
            map.try_into().map_err(map_error("opening IMAGES"))?;
        outer
            .set(place, self.images[at].data(), 0)
            .map_err(map_error(doing))
    }

    fn fill_trie<const N: usize>(
        &mut self,
        trie: &'static str,
        prefixes: &[([u8; N], u8, u32)],
    ) -> Result<(), LoadError>
    where
        [u8; N]: aya::Pod,
    {
        let map = self.ebpf.map_mut(trie).ok_or(LoadError::NoMap(trie))?;
        let mut trie: LpmTrie<_, [u8; N], u32> =
            map.try_into().map_err(map_error("opening a trie"))?;
        let stale: Vec<_> = trie
            .keys()
            .collect::<Result<_, _>>()
            .map_err(map_error("reading a trie"))?;
        for key in stale {
            trie.remove(&key).map_err(map_error("emptying a trie"))?;
        }
        for (address, length, class) in prefixes {
            let key = Key::new(u32::from(*length), *address);
            retry::put(|| trie.insert(&key, class, 0)).map_err(map_error("filling a trie"))?;
        }
        Ok(())
    }

    /// Gives an interface counters of its own.
    pub(super) fn assign_slot(&mut self, interface_index: u32, slot: u32) -> Result<(), LoadError> {
        let map = self
            .ebpf
            .map_mut(name::INTERFACES)
            .ok_or(LoadError::NoMap(name::INTERFACES))?;
        let mut interfaces: Array<_, u32> =
            map.try_into().map_err(map_error("opening INTERFACES"))?;
        interfaces
            .set(interface_index % INTERFACES_MAX, slot, 0)
            .map_err(map_error("writing INTERFACES"))
    }

    /// Where an interface's packets are counted, if it has been given a place and the place is there.
    pub(super) fn slot(&self, interface_index: u32) -> Result<Option<u32>, LoadError> {
        let interfaces: Array<_, u32> = self
            .map(name::INTERFACES)?
            .try_into()
            .map_err(map_error("opening INTERFACES"))?;
        let slot = interfaces
            .get(&(interface_index % INTERFACES_MAX), 0)
            .map_err(map_error("reading INTERFACES"))?;
        let counters: PerCpuArray<_, CountryCounters> = self
            .map(name::COUNTERS)?
            .try_into()
            .map_err(map_error("opening COUNTERS"))?;
        Ok(Some(slot).filter(|slot| *slot > 0 && *slot < counters.len() / COUNTRIES_MAX as u32))
    }

    pub(super) fn counters_mut(
        &mut self,
    ) -> Result<PerCpuArray<&mut MapData, CountryCounters>, LoadError> {
        let map = self
            .ebpf
            .map_mut(name::COUNTERS)
            .ok_or(LoadError::NoMap(name::COUNTERS))?;
        map.try_into().map_err(map_error("opening COUNTERS"))
    }

    /// The counters of a slot, summed over CPUs: what is not zero.
    pub fn counters(
        &self,
        slot: u32,
    ) -> Result<BTreeMap<(Country, Action, Reason), Counter>, LoadError> {
        let map = self
            .ebpf
            .map(name::COUNTERS)
            .ok_or(LoadError::NoMap(name::COUNTERS))?;
        let counters: PerCpuArray<_, CountryCounters> =
            map.try_into().map_err(map_error("opening COUNTERS"))?;
        let mut sums = BTreeMap::new();
        for number in 0..COUNTRIES_MAX {
            let country = Country::from_number(number as u8);
            let cpus = counters
                .get(&counters_key(slot, country.number()), 0)
                .map_err(map_error("reading COUNTERS"))?;
            for (action, reason, counter) in cpus.iter().flat_map(CountryCounters::counted) {
                let sum: &mut Counter = sums.entry((country, action, reason)).or_default();
                *sum += counter;
            }
        }
        Ok(sums)
    }

    /// Instructions the verifier walked through, by program.
    pub fn verified_instructions(&mut self) -> Result<Vec<(&'static str, u32)>, LoadError> {
        let count = |info: ProgramInfo| info.verified_instruction_count().unwrap_or(0);
        Ok(vec![
            (name::PROGRAM, count(ingress(&mut self.ebpf)?.info()?)),
            (name::EGRESS, count(egress(&mut self.ebpf)?.info()?)),
        ])
    }

    /// Passes what the program has to say about itself to the log; never ends. The program speaks of faults of its own,
    /// never of a packet.
    pub fn diagnostics(&mut self) -> impl Future<Output = ()> + use<> {
        /// How often the log is looked at; what it says is a fault and no answer is timed by it.
        const PERIOD: Duration = Duration::from_secs(1);
        let logger = EbpfLogger::init(&mut self.ebpf);
        async move {
            match logger {
                Err(error) => tracing::warn!("the data path's own log cannot be read: {error}"),
                Ok(mut logger) => {
                    let mut ticks = tokio::time::interval(PERIOD);
                    loop {
                        ticks.tick().await;
                        logger.flush();
                    }
                }
            }
            std::future::pending().await
        }
    }

    /// The number of the program for ingress, as interfaces show it.
    pub fn program_id(&mut self) -> Result<u32, LoadError> {
        Ok(self.ingress()?.info()?.id())
    }

    pub(super) fn ingress(&mut self) -> Result<&mut Xdp, LoadError> {
        ingress(&mut self.ebpf)
    }

    pub(super) fn egress(&mut self) -> Result<&mut SchedClassifier, LoadError> {
        egress(&mut self.ebpf)
    }

    pub(super) fn map_mut(&mut self, map: &'static str) -> Result<&mut Map, LoadError> {
        self.ebpf.map_mut(map).ok_or(LoadError::NoMap(map))
    }

    pub(super) fn map(&self, map: &'static str) -> Result<&Map, LoadError> {
        self.ebpf.map(map).ok_or(LoadError::NoMap(map))
    }

    /// The object's programs and maps, as aya has them. For benchmarks.
    #[doc(hidden)]
    pub fn ebpf(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }
}

/// Numbers for the flows at hand, of the standard library's randomness: nobody who sends packets can know them.
fn secret() -> ChecksumKey {
    let state = RandomState::new();
    ChecksumKey(std::array::from_fn(|at| state.hash_one(at) | 1))
}

fn ingress(ebpf: &mut Ebpf) -> Result<&mut Xdp, LoadError> {
    let program = ebpf
        .program_mut(name::PROGRAM)
        .ok_or(LoadError::NoMap(name::PROGRAM))?;
    Ok(program.try_into()?)
}

fn egress(ebpf: &mut Ebpf) -> Result<&mut SchedClassifier, LoadError> {
    let program = ebpf
        .program_mut(name::EGRESS)
        .ok_or(LoadError::NoMap(name::EGRESS))?;
    Ok(program.try_into()?)
}
