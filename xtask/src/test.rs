//! `cargo xtask test`: runs every test of the workspace, as root where possible, and sums up the results.
//!
//! Tests report to us through two files whose names they find in the environment, because the test harness swallows
//! what a passing test prints. GEOFENCE_SKIPPED takes a line `skipped: NAME: REASON` for each test that could not do
//! its work; GEOFENCE_BUDGET a line `program NAME INSNS BUDGET` for each eBPF program loaded.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::beside::{self, Beside};
use crate::busy::Busy;
use crate::exit_code::{NO, TROUBLE};
use crate::privilege::{self, Way};
use crate::{process, setup, workspace};

/// Builds the tests, and runs those whose names contain one of the filters, or all of them; if asked, beside other work
/// on every core.
pub(crate) fn run(busy: bool, filters: &[String], options: &[String]) -> Result<ExitCode> {
    setup::run(setup::Scope::Test)?;
    let mut build = process::cargo(&["build"]);
    // Not --all-targets: benches are not run here. Binaries, because tests start them.
    build
        .args(workspace::HOST_CRATES)
        .args(workspace::TEST_FEATURES)
        .args(["--lib", "--bins", "--tests", "--examples"]);
    process::check(&mut build)?;

    let way = privilege::offer("part of the tests")?;
    let notes = Notes::create()?;
    let other_work = busy.then(Busy::every_core);
    let (tally, passed) = if filters.is_empty() && options.is_empty() {
        run_all(way, &notes)?
    } else {
        let cargo = process::cargo(&["test"]);
        run_tests(&mut cargo_test(cargo, way, &notes, filters, options))?
    };
    drop(other_work);
    let skipped = report(&notes, way)?;
    notes.remove();

    let (outcome, code) = match (passed, tally.passed) {
        (false, _) => ("FAILED", NO),
        (true, 0) if options.is_empty() => ("NONE RAN, no test has such a name", TROUBLE),
        (true, _) => ("passed", 0),
    };
    let Tally {
        passed,
        failed,
        ignored,
    } = tally;
    process::answer(&format!(
        "tests: {outcome} ({passed} passed, {failed} failed, {ignored} ignored; {skipped} of the passed skipped)"
    ));
    Ok(ExitCode::from(code))
}

/// Runs every test, some of them beside the others.
fn run_all(way: Option<Way>, notes: &Notes) -> Result<(Tally, bool)> {
    let mut apart = process::nice_cargo(beside::NICE, &["test"]);
    for (suite, _) in beside::SUITES {
        apart.args(["--test", suite]);
    }
    let apart = Beside::start(&mut cargo_test(apart, way, notes, &[], &[]))?;
    let others = beside::SUITES.iter().flat_map(|(_, tests)| *tests);
    let others = others.flat_map(|test| ["--skip", test].map(String::from));
    let others: Vec<String> = others.collect();
    let cargo = process::cargo(&["test"]);
    let (mut tally, passed) = run_tests(&mut cargo_test(cargo, way, notes, &[], &others))?;
    let (output, status) = apart.finish()?;
    output.lines().for_each(|line| tally.count(line));
    Ok((tally, passed && status.success()))
}

fn cargo_test(
    mut cargo: Command,
    way: Option<Way>,
    notes: &Notes,
    filters: &[String],
    options: &[String],
) -> Command {
    let path = process::search_path();
    let environment = [
        ("PATH", path.as_os_str()),
        ("GEOFENCE_SKIPPED", notes.skipped.as_os_str()),
        ("GEOFENCE_BUDGET", notes.budget.as_os_str()),
    ];
    cargo
        .args(workspace::HOST_CRATES)
        .args(workspace::TEST_FEATURES)
        .arg("--no-fail-fast");
    cargo.envs(environment);
    let runner = way.map(|way| way.prefix(&environment)).unwrap_or_default();
    if !runner.is_empty() {
        // By --config and not by a variable, which cargo would split at spaces.
        cargo.arg("--config").arg(format!(
            "target.'cfg(all())'.runner = {}",
            toml_array(&runner)
        ));
    }
    cargo.arg("--").args(filters).args(options);
    cargo
}

fn toml_array(words: &[String]) -> String {
    let quoted = words
        .iter()
        .map(|word| format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"")));
    format!("[{}]", quoted.collect::<Vec<_>>().join(", "))
}

/// Runs cargo, passing its output on and counting as it goes by.
fn run_tests(cargo: &mut Command) -> Result<(Tally, bool)> {
    let mut child = cargo
        .stdout(Stdio::piped())
        .spawn()
        .context("starting cargo test")?;
    let mut tally = Tally::default();
    let mut output = BufReader::new(child.stdout.take().context("cargo test has no output")?);
    let mut line = Vec::new();
    while output
        .read_until(b'\n', &mut line)
        .context("reading the output of cargo test")?
        > 0
    {
        // A reader that has gone away does not stop the tests.
        let _ = std::io::stdout().write_all(&line);
        tally.count(&String::from_utf8_lossy(&line));
        line.clear();
    }
    let status = child.wait().context("waiting for cargo test")?;
    if status.code().is_none() {
        bail!("cargo test was stopped ({status})");
    }
    Ok((tally, status.success()))
}

/// Prints what the tests reported, and returns how many were skipped.
fn report(notes: &Notes, way: Option<Way>) -> Result<usize> {
    let budgets = budgets(&read(&notes.budget)?);
    if !budgets.is_empty() {
        process::answer("verified instructions, of the budget:");
    }
    budgets.iter().for_each(|line| process::answer(line));

    let skipped = skipped(&read(&notes.skipped)?);
    match skipped.len() {
        0 => process::answer("nothing was skipped"),
        count => process::answer(&format!("skipped {count} {}:", plural("test", count))),
    }
    skipped
        .iter()
        .for_each(|line| process::answer(&format!("  {line}")));
    if way.is_none() {
        process::answer(
            "THE TESTS RAN WITHOUT ROOT: none of them used the kernel; run them as root or with sudo",
        );
    }
    Ok(skipped.len())
}

fn plural(noun: &str, count: usize) -> String {
    if count == 1 {
        noun.to_owned()
    } else {
        format!("{noun}s")
    }
}

/// What the test harnesses counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: usize,
    failed: usize,
    ignored: usize,
}

impl Tally {
    /// Adds up a line `test result: ok. 3 passed; 0 failed; 1 ignored; ...`; other lines count nothing.
    fn count(&mut self, line: &str) {
        let Some((_, counts)) = line
            .strip_prefix("test result: ")
            .and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for (number, what) in counts.split("; ").filter_map(|count| count.split_once(' ')) {
            let number: usize = number.parse().unwrap_or(0);
            match what.trim() {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

/// Lists what was skipped, each test once.
fn skipped(notes: &str) -> Vec<String> {
    let mut lines: Vec<String> = notes
        .lines()
        .map(|line| line.trim().trim_start_matches("skipped:").trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect();
    lines.sort();
    lines.dedup();
    lines
}

/// Lists the programs with the most instructions each of them took; a line we cannot read is shown as it is.
fn budgets(notes: &str) -> Vec<String> {
    let mut programs: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    let mut unreadable = Vec::new();
    for line in notes.lines().filter(|line| !line.trim().is_empty()) {
        match program(line) {
            Some((name, instructions, budget)) => {
                let entry = programs.entry(name).or_insert((instructions, budget));
                *entry = (*entry).max((instructions, budget));
            }
            None => unreadable.push(format!("  {line}")),
        }
    }
    let width = programs.keys().map(|name| name.len()).max().unwrap_or(0);
    let shown = programs.iter().map(|(name, (instructions, budget))| {
        let percent = instructions
            .saturating_mul(100)
            .checked_div(*budget)
            .unwrap_or(0);
        format!("  {name:width$} {instructions:>9} of {budget:>9} ({percent} %)")
    });
    shown.chain(unreadable).collect()
}

fn program(line: &str) -> Option<(&str, u64, u64)> {
    let mut words = line.strip_prefix("program ")?.split_whitespace();
    let (name, instructions, budget) = (
        words.next()?,
        words.next()?.parse().ok()?,
        words.next()?.parse().ok()?,
    );
    words
        .next()
        .is_none()
        .then_some((name, instructions, budget))
}

/// The files that tests report through. Not in /tmp: there a kernel may forbid root to append to a user's file.
struct Notes {
    directory: PathBuf,
    skipped: PathBuf,
    budget: PathBuf,
}

impl Notes {
    fn create() -> Result<Self> {
        let directory = workspace::scratch(&format!("test-{}", std::process::id()))?;
        let notes = Self {
            skipped: directory.join("skipped"),
            budget: directory.join("budget"),
            directory,
        };
        for path in [&notes.skipped, &notes.budget] {
            // Empty, and ours: root appends later, and we still read and remove.
            std::fs::write(path, "").with_context(|| format!("creating {}", path.display()))?;
        }
        Ok(notes)
    }

    fn remove(self) {
        // Left-overs are harmless: the directory is cargo's.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn read(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_added_up() {
        let mut tally = Tally::default();
        tally.count("running 3 tests\n");
        tally.count("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.01s\n");
        tally.count("test result: FAILED. 2 passed; 5 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0s\n");
        assert_eq!(
            tally,
            Tally {
                passed: 5,
                failed: 5,
                ignored: 1
            }
        );
    }

    #[test]
    fn each_skipped_test_is_listed_once() {
        let notes =
            "skipped: wire: needs root\nskipped: load: needs root\n\nskipped: wire: needs root\n";
        assert_eq!(skipped(notes), ["load: needs root", "wire: needs root"]);
        assert!(skipped("").is_empty());
    }

    #[test]
    fn the_worst_load_of_a_program_is_shown() {
        let notes = "program geofence 5000 20000\nprogram probe 10 1000\nprogram geofence 6041 20000\nodd line\n";
        assert_eq!(
            budgets(notes),
            [
                "  geofence      6041 of     20000 (30 %)",
                "  probe           10 of      1000 (1 %)",
                "  odd line"
            ]
        );
        assert_eq!(
            budgets("program p 1 0\n"),
            ["  p         1 of         0 (0 %)"]
        );
    }

    #[test]
    fn the_runner_survives_awkward_words() {
        let words = ["sudo", "PATH=/a b:/c\"d\\e"].map(String::from);
        assert_eq!(toml_array(&words), r#"["sudo", "PATH=/a b:/c\"d\\e"]"#);
    }

    #[test]
    fn sudo_is_a_runner_only_where_it_is_the_way() {
        let notes = Notes {
            directory: "/n".into(),
            skipped: "/n/skipped".into(),
            budget: "/n/budget".into(),
        };
        let line = |way| {
            process::describe(&cargo_test(
                process::cargo(&["test"]),
                way,
                &notes,
                &["vlan".into()],
                &["--nocapture".into()],
            ))
        };
        assert!(!line(Some(Way::Root)).contains("runner") && !line(None).contains("runner"));
        let sudo = line(Some(Way::Sudo));
        assert!(
            sudo.contains("runner = [\"sudo\", \"-E\", \"env\"")
                && sudo.contains("GEOFENCE_SKIPPED=/n/skipped"),
            "{sudo}"
        );
        assert!(sudo.ends_with("-- vlan --nocapture"), "{sudo}");
    }
}
