//! The kernels to boot, as `cargo xtask setup` has unpacked them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// A kernel with its modules.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// Its release, as `uname -r` says it.
    pub release: String,
    pub(super) root: PathBuf,
}

impl Kernel {
    pub(super) fn image(&self) -> PathBuf {
        self.root
            .join("boot")
            .join(format!("vmlinuz-{}", self.release))
    }

    /// The paths of these modules and of those that they need, below the root. A module that is built in, or that
    /// this kernel lacks, has none.
    pub(super) fn modules(&self, names: &[&str]) -> Result<Vec<String>> {
        let folder = format!("lib/modules/{}", self.release);
        let path = self.root.join(&folder).join("modules.dep");
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("reading {}", path.display()))?;
        let mut modules = Vec::new();
        for (module, needs) in text.lines().filter_map(|line| line.split_once(':')) {
            let file = module.rsplit('/').next().unwrap_or(module);
            let name = file.split(".ko").next().unwrap_or(file).replace('-', "_");
            if names.contains(&name.as_str()) {
                modules.extend([module].into_iter().chain(needs.split_whitespace()));
            }
        }
        modules.sort_unstable();
        modules.dedup();
        Ok(modules
            .into_iter()
            .map(|module| format!("{folder}/{module}"))
            .collect())
    }
}

/// The kernels that were unpacked, oldest name first.
#[must_use]
pub fn found() -> Vec<Kernel> {
    // Beside `debug` and `release`, where this program is, or one folder further down for tests.
    let own = std::env::current_exe().unwrap_or_default();
    let places = own.ancestors().skip(2).take(2);
    let mut kernels: Vec<Kernel> = places
        .flat_map(|place| in_folder(&place.join("xtask/kernels")))
        .collect();
    kernels.sort_by(|one, other| one.root.cmp(&other.root));
    kernels
}

fn in_folder(folder: &Path) -> Vec<Kernel> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let kernels = entries.filter_map(|entry| {
        let root = entry.path();
        let releases = std::fs::read_dir(root.join("lib/modules")).ok()?;
        let release = releases.flatten().next()?.file_name().into_string().ok()?;
        let kernel = Kernel { release, root };
        kernel.image().is_file().then_some(kernel)
    });
    kernels.collect()
}
