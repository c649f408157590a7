//! The commands of the guide, run beside the laboratory's fleet: each prints what the guide says.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use super::laboratory::{Lab, row};
use super::nodes::await_well;
use crate::doc_text::{is_same, plain, words};
use crate::lab::report::Row;

/// Commands that are not run, by how they begin: the laboratory has run them for its own engine.
const NOT_RUN: [&str; 2] = ["bootstrap roles", "bootstrap node"];

/// A command of the guide, and what it prints there.
struct Step {
    words: Vec<String>,
    printed: Vec<String>,
}

/// The commands of the fleet's program in the guide.
fn steps() -> Result<Vec<Step>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/fleet.md");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let mut steps: Vec<Step> = Vec::new();
    let mut is_console = false;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("```") {
            is_console = line == "```console";
        } else if let (true, Some(command)) = (is_console, line.strip_prefix("# ")) {
            let mut command = command.to_owned();
            while let Some(more) = command.strip_suffix('\\') {
                command = format!("{more} {}", lines.next().unwrap_or_default().trim());
            }
            let words = words(&command);
            let (program, words) = words.split_first().context("a command without words")?;
            ensure!(program == "geofence-fleet", "the guide has `{command}`");
            steps.push(Step {
                words: words.to_vec(),
                printed: Vec::new(),
            });
        } else if is_console && let Some(step) = steps.last_mut() {
            step.printed.push(line.to_owned());
        }
    }
    Ok(steps)
}

/// A line as it is compared. Hashes differ as numbers do.
fn compared(line: &str) -> String {
    let is_hash = |word: &&str| word.len() == 16 && word.bytes().all(|one| one.is_ascii_hexdigit());
    let words = line.split_whitespace();
    let words = words.map(|word| if is_hash(&word) { "0" } else { word });
    plain(&words.collect::<Vec<_>>().join(" "))
}

/// Runs the commands of the guide.
pub(super) fn run(lab: &mut Lab) -> Result<Vec<Row>> {
    // What is printed depends on how many nodes there are.
    if lab.scale_of(false, true) {
        return Ok(Vec::new());
    }
    let folder = lab.site.path("guide");
    fs::create_dir_all(&folder)?;
    fs::write(
        folder.join("policy.toml"),
        "block = [\"RU\", \"BY\", \"UA\"]\n",
    )?;
    let poison = "block = [\"RU\"]\ndeny = [\"10.9.0.0/24\"]\n";
    fs::write(folder.join("poison.toml"), poison)?;
    let begun = Instant::now();
    let mut count = 0;
    let mut result = Ok(());
    for step in steps()? {
        let line = step.words.join(" ");
        if NOT_RUN.iter().any(|start| line.starts_with(start)) {
            continue;
        }
        count += 1;
        result = result.and_then(|()| run_one(lab, &step, &folder));
    }
    let expected = "each prints what the guide says";
    let what = format!("{count} commands of the guide");
    Ok(vec![row(
        8,
        &what,
        expected,
        begun,
        result.map(|()| expected.to_owned()),
    )])
}

fn run_one(lab: &Lab, step: &Step, folder: &Path) -> Result<()> {
    if step.words.first().is_some_and(|word| word == "status") {
        await_well(&lab.site)?;
    }
    let words: Vec<&str> = step.words.iter().map(String::as_str).collect();
    let answer = lab.site.operate_in(folder, &words)?;
    let said = answer.stdout + &answer.stderr;
    let came: Vec<String> = said.lines().map(compared).collect();
    let printed: Vec<String> = step.printed.iter().map(|line| compared(line)).collect();
    ensure!(
        is_same(&came, &printed),
        "`geofence-fleet {}` prints\n{said}\nand the guide says\n{}",
        words.join(" "),
        step.printed.join("\n")
    );
    Ok(())
}
