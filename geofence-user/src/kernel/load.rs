//! Loading the programs, and whether the library's questions to the kernel before that were answered.

use std::thread;

use aya::Ebpf;
use aya::programs::{SchedClassifier, Xdp};
use geofence_common::maps::name;

use super::filter::LoadError;

/// Loads both programs at once: nearly all of a start is the verifier's, which works where the load was asked for.
pub(super) fn load_both(ebpf: &mut Ebpf) -> Result<(), LoadError> {
    let (mut ingress, mut egress) = (None, None);
    for (name, program) in ebpf.programs_mut() {
        match name {
            name::PROGRAM => ingress = Some(program),
            name::EGRESS => egress = Some(program),
            _ => {}
        }
    }
    let ingress: &mut Xdp = ingress.ok_or(LoadError::NoMap(name::PROGRAM))?.try_into()?;
    let egress: &mut SchedClassifier = egress.ok_or(LoadError::NoMap(name::EGRESS))?.try_into()?;
    thread::scope(|scope| {
        let other = thread::Builder::new()
            .spawn_scoped(scope, || egress.load())
            .map_err(|cause| LoadError::Memory {
                doing: "starting a thread that loads a program",
                cause,
            })?;
        let loaded = ingress.load();
        let other = other
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok(loaded.and(other)?)
    })
}

/// Whether the kernel has what the library has asked it for and the program needs. Where a question has failed, the
/// library leaves things out of the program; what it then does or fails with says nothing of the question.
pub(super) fn answered() -> Result<(), LoadError> {
    let features = aya::features();
    let functions = features.btf().is_some_and(|btf| btf.btf_func());
    let needed = [
        (features.btf().is_some(), "BTF", "BPF_BTF_LOAD"),
        (functions, "BTF of functions", "BPF_BTF_LOAD"),
        (
            features.bpf_global_data(),
            "global data",
            "BPF_MAP_CREATE or BPF_PROG_LOAD",
        ),
        (features.bpf_name(), "names of programs", "BPF_PROG_LOAD"),
    ];
    let missing = needed.into_iter().find(|(is_there, ..)| !is_there);
    missing.map_or(Ok(()), |(_, feature, call)| {
        Err(LoadError::Unanswered { feature, call })
    })
}
