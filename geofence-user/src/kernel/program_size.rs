//! How large the loaded programs are, for tests that hold them to their budgets.

use geofence_common::frame::Link;

use super::error::KernelError;
use super::filter::Filter;
use super::program_names::{called, fast_path, programs};

/// The size of a loaded program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramSize {
    pub name: &'static str,
    /// Whether it judges by rules, or observes.
    pub has_rules: bool,
    /// Instructions that the verifier processed.
    pub verified: u32,
    /// Bytes after the verifier removed what cannot be reached.
    pub translated: u32,
    /// Bytes of machine code.
    pub machine: u32,
}

impl Filter {
    /// The sizes of the programs that are loaded.
    pub fn program_sizes(&self) -> Result<Vec<ProgramSize>, KernelError> {
        let mut sizes = Vec::new();
        for link in [Link::Ethernet, Link::Ip] {
            let bare = programs(link).map(|name| (name, false));
            let rules = called(link).map(|(_, name)| (name, name != fast_path(link)));
            for (name, has_rules) in bare.into_iter().chain(rules) {
                let program = self.ebpf.program(name).ok_or(KernelError::NoMap(name))?;
                // The programs of a link that no device has are not loaded.
                if let Ok(info) = program.info() {
                    sizes.push(ProgramSize {
                        name,
                        has_rules,
                        verified: info.verified_instruction_count().unwrap_or(0),
                        translated: info.size_translated().unwrap_or(0),
                        machine: info.size_jitted(),
                    });
                }
            }
        }
        Ok(sizes)
    }
}
