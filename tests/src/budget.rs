//! The load tests record here how many instructions the verifier walked; `cargo xtask test` prints the table.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Names the file that collects one line for each loaded program.
pub const BUDGET: &str = "GEOFENCE_BUDGET";

/// Notes that `program` took `instructions` verified instructions of the `budget` it may take.
pub fn record(program: &str, instructions: u32, budget: u32) -> Result<()> {
    match std::env::var_os(BUDGET) {
        Some(path) => append(Path::new(&path), program, instructions, budget),
        None => Ok(()),
    }
}

fn append(path: &Path, program: &str, instructions: u32, budget: u32) -> Result<()> {
    // One write of one line, so that tests running at the same time do not mix theirs.
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .and_then(|mut file| {
            file.write_all(format!("program {program} {instructions} {budget}\n").as_bytes())
        })
        .with_context(|| {
            format!(
                "noting the instructions of {program} in {} ({BUDGET})",
                path.display()
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_budget_record_is_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("budget");
        append(&path, "ingress", 6_041, 10_000).unwrap();
        append(&path, "egress", 7, 8).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text, "program ingress 6041 10000\nprogram egress 7 8\n");
    }
}
