//! Loads the program: sizes its maps, inherits tables, and has the programs verified.

use std::hash::{BuildHasher as _, RandomState};
use std::thread;

use aya::maps::ProgramArray;
use aya::programs::{Program, ProgramInfo};
use aya::{Ebpf, EbpfLoader, VerifierLogLevel};
use geofence_common::country::COUNTRIES_MAX;
use geofence_common::flow::cache::ChecksumKey;
use geofence_common::frame::Link;
use geofence_common::image::LINE_WORDS;
use geofence_common::maps::{INTERFACE_SLOTS_MAX, name};

use super::error::KernelError;
use super::inherited_tables::{InheritedTables, Sizes};
use super::object;
use super::pins::Pins;
use super::program_names::{called, programs};
use super::version;
use crate::model::filter_options::FilterOptions;
use crate::model::policy::Lookup;

/// Entries of the fragment table: fragmented datagrams of blocked countries that are under way at the same time. A
/// kernel reassembles far fewer (ipfrag_high_thresh).
const DATAGRAMS_MAX: u32 = 16_384;

/// Loads the programs of an object for Ethernet devices and creates its maps. `more` sizes maps that only this object
/// has; with `pins`, the tables of an earlier filter are inherited where they fit.
pub(super) fn load(
    object: &[u8],
    options: &FilterOptions,
    more: &[(&'static str, u32)],
    pins: Option<&Pins>,
) -> Result<(Ebpf, InheritedTables), KernelError> {
    version::check()?;
    if options.interfaces >= INTERFACE_SLOTS_MAX {
        return Err(KernelError::TooManyInterfaces {
            given: options.interfaces,
        });
    }
    let image_words = options.image_lines.saturating_mul(LINE_WORDS as u32);
    let object = object::with_image_words(object, image_words).ok_or(KernelError::Object)?;
    let mut sizes = sizes(options);
    sizes.extend_from_slice(more);
    let lpm = u8::from(options.lookup == Lookup::LpmTrie);
    let traced = u8::from(options.traced);
    let image_room = u64::from(image_words);
    let key = checksum_key();
    let mut loader = EbpfLoader::new();
    let inherited = match pins {
        Some(pins) => InheritedTables::find(&object, &mut sizes, pins, &mut loader)?,
        None => InheritedTables::default(),
    };
    loader
        .verifier_log_level(VerifierLogLevel::STATS)
        .override_global(name::LPM, &lpm, true)
        .override_global(name::TRACE, &traced, true)
        .override_global(name::CHECKSUM_KEY, &key, true)
        .override_global(name::IMAGE_WORDS, &image_room, true);
    for (map, entries) in sizes {
        loader.map_max_entries(map, entries);
    }
    let mut ebpf = loader.load(&object).map_err(|error| match pins {
        Some(pins) => inherited.explain(pins, error),
        None => error.into(),
    })?;
    load_programs(&mut ebpf, Link::Ethernet)?;
    Ok((ebpf, inherited))
}

fn sizes(options: &FilterOptions) -> Sizes {
    let tries = match options.lookup {
        Lookup::ArrayTrie => 1,
        Lookup::LpmTrie => options.trie_entries,
    };
    // Slot 0 counts frames of interfaces that have no slot.
    let counters = (options.interfaces + 1) * COUNTRIES_MAX as u32;
    let mut sizes: Sizes = vec![
        (name::COUNTERS, counters),
        (name::DATAGRAMS, DATAGRAMS_MAX),
        (name::TENANTS, options.tenants),
        (name::HITS, options.exceptions),
        (name::BUCKETS, options.buckets),
    ];
    for trie in name::TRIES_V4.into_iter().chain(name::TRIES_V6) {
        sizes.push((trie, tries));
    }
    sizes.extend(name::FLOWS.into_iter().zip(options.flows));
    sizes
}

/// The key of the flow cache's checksums, from the standard library's randomness: a sender of packets cannot know it.
fn checksum_key() -> ChecksumKey {
    let state = RandomState::new();
    ChecksumKey(std::array::from_fn(|at| state.hash_one(at) | 1))
}

/// Loads the programs for devices of a link at once, and puts those that others call where these find them.
/// Nearly all of a start is the verifier's time, which runs on the calling thread.
pub(super) fn load_programs(ebpf: &mut Ebpf, link: Link) -> Result<(), KernelError> {
    let called = called(link);
    let names = called.map(|(_, program)| program);
    let names: Vec<_> = programs(link).into_iter().chain(names).collect();
    let chosen = ebpf
        .programs_mut()
        .filter(|(name, _)| names.contains(name))
        .map(|(_, program)| program);
    thread::scope(|scope| {
        let mut threads = Vec::with_capacity(names.len());
        for program in chosen {
            let thread = thread::Builder::new().spawn_scoped(scope, || load_program(program));
            threads
                .push(thread.map_err(KernelError::io("starting a thread that loads a program"))?);
        }
        let ended = threads.into_iter().map(|thread| {
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        // Each ends before the first error is returned.
        ended
            .collect::<Vec<_>>()
            .into_iter()
            .collect::<Result<(), _>>()
    })?;
    for (array, program) in called {
        let program = ebpf.program(program).ok_or(KernelError::NoMap(program))?;
        let program = program
            .fd()?
            .try_clone()
            .map_err(KernelError::io("duplicating a program"))?;
        let map = ebpf.map_mut(array).ok_or(KernelError::NoMap(array))?;
        let mut array: ProgramArray<_> = map.try_into().map_err(KernelError::opening(array))?;
        array
            .set(link as u32, &program, 0)
            .map_err(KernelError::map("putting a program in its array"))?;
    }
    Ok(())
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the object has programs of two types"
)]
fn load_program(program: &mut Program) -> Result<(), KernelError> {
    match program {
        Program::Xdp(program) => program.load()?,
        Program::SchedClassifier(program) => program.load()?,
        _ => return Err(KernelError::Object),
    }
    check_features(&program.info()?)
}

/// Checks that a program has what aya leaves out if its probe of the kernel fails; aya logs which one failed.
fn check_features(program: &ProgramInfo) -> Result<(), KernelError> {
    let features = [
        (program.btf_id().is_some(), "BTF", "BPF_BTF_LOAD"),
        // A later start finds the programs by their names.
        (
            program.name_as_str().is_some_and(|name| !name.is_empty()),
            "names of programs",
            "BPF_PROG_LOAD",
        ),
    ];
    let missing = features.into_iter().find(|(is_there, ..)| !is_there);
    missing.map_or(Ok(()), |(_, feature, call)| {
        Err(KernelError::UnknownFeature { feature, call })
    })
}
