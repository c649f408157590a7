//! Places that the daemon writes to, taken by something else or full: what cannot be written is named, nothing half
//! written stays, and filter and socket go on.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use geofence_tests::edge::{Answer, PATIENCE};
use geofence_tests::memory_limit::MemoryLimit;
use geofence_tests::require_root;
use geofence_tests::site::{CONFIG, Site};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::Value;

const CONFIGURATION: &str = "block = [\"RU\"]\n";
const FILTERED: [bool; 2] = [false, true];
/// How long a command may take where nothing is waited for, on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// Runs a command, which must end soon.
fn soon(site: &Site, words: &[&str]) -> Result<Answer> {
    let begun = Instant::now();
    let answer = site.edge.ask(words)?;
    let took = begun.elapsed();
    ensure!(took < SOON, "{words:?} took {took:?}: {answer:?}");
    Ok(answer)
}

fn pipe(path: &Path) -> Result<()> {
    Ok(mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR)?)
}

#[test]
fn configuration_that_became_a_pipe_is_named_by_the_confirmation() -> Result<()> {
    require_root!();
    let Some(limit) = MemoryLimit::for_test() else {
        return Ok(());
    };
    let site = Site::new(CONFIGURATION)?;
    let _daemon = site.run_within(&limit)?;
    site.write("next.toml", "block = [\"DE\"]\n")?;
    site.done(&["apply", "--confirm-within", "60s", &site.word("next.toml")?])?;
    fs::remove_file(site.path(CONFIG))?;
    pipe(&site.path(CONFIG))?;
    let answer = soon(&site, &["confirm"])?;
    ensure!(
        answer.code == Some(1) && answer.stderr.contains("a pipe, not a regular file"),
        "{answer:?}"
    );
    ensure!(site.passes()? == [true, false], "the policy is confirmed");
    ensure!(soon(&site, &["status", "--json"])?.json()?["trial"].is_null());
    Ok(())
}

#[test]
fn pipe_that_has_the_name_of_an_unfinished_file_is_replaced() -> Result<()> {
    require_root!();
    let Some(limit) = MemoryLimit::for_test() else {
        return Ok(());
    };
    let site = Site::new(CONFIGURATION)?;
    let _daemon = site.run_within(&limit)?;
    let state = site.edge.state();
    pipe(&state.join("image.new"))?;
    pipe(&site.path("geofence.toml.before"))?;
    pipe(&site.path("geofence.toml.geofence-unfinished"))?;
    ensure!(soon(&site, &["reload"])?.code == Some(0));
    ensure!(!state.join("image.new").exists());
    site.write("next.toml", "block = [\"DE\"]\n")?;
    let next = site.word("next.toml")?;
    let answer = soon(&site, &["apply", "--confirm-within", "60s", &next])?;
    ensure!(answer.code == Some(0), "{answer:?}");
    let answer = soon(&site, &["confirm"])?;
    ensure!(answer.code == Some(0), "{answer:?}");
    ensure!(fs::read_to_string(site.path("geofence.toml.before"))? == CONFIGURATION);
    ensure!(fs::read_to_string(site.path(CONFIG))?.contains("DE"));
    Ok(())
}

#[test]
fn lock_of_the_lists_that_another_process_holds_stops_no_change() -> Result<()> {
    require_root!();
    let Some(limit) = MemoryLimit::for_test() else {
        return Ok(());
    };
    let list = "[[list]]\nname = \"l\"\nformat = \"plain\"\nfile = \"l.txt\"\n";
    let site = Site::new(&format!("{CONFIGURATION}{list}"))?;
    site.write("l.txt", "9.9.9.9\n")?;
    let mut daemon = site.run_within(&limit)?;
    let directory = File::open(site.edge.state().join("lists"))?;
    let held = Flock::lock(directory, FlockArg::LockExclusive).map_err(|(_, errno)| errno)?;
    site.write("l.txt", "9.9.9.9\n9.9.9.11\n")?;
    let answer = soon(&site, &["reload"])?;
    ensure!(answer.code == Some(0), "{answer:?}");
    daemon.wait_line("another process holds the lock of", PATIENCE)?;
    ensure!(site.passes()? == FILTERED);
    drop(held);
    Ok(())
}

/// A file system of its own in the place of a directory, and what fills it.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn on(directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory)?;
        let disk = Self(directory.to_owned());
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64m,mode=0700", "tmpfs"])
            .arg(directory)
            .output()?;
        ensure!(mounted.status.success(), "{mounted:?}");
        Ok(disk)
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// Writes until nothing more fits.
    fn fill(&self) -> Result<()> {
        let mut filler = File::create(self.filler())?;
        let block = [0_u8; 4096];
        while filler.write_all(&block).is_ok() {}
        Ok(())
    }

    /// The files that are half written.
    fn unfinished(&self) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let path = entry?.path();
            if path.extension().is_some_and(|end| end == "new") {
                found.push(path);
            }
        }
        Ok(found)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A mount that stays is seen by the next test of this name.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn full_disk_refuses_changes_by_name_and_leaves_nothing_half_written() -> Result<()> {
    require_root!();
    let Some(limit) = MemoryLimit::for_test() else {
        return Ok(());
    };
    let site = Site::new(CONFIGURATION)?;
    let disk = SmallDisk::on(&site.edge.state())?;
    let daemon = site.run_within(&limit)?;
    let add = [
        "exception",
        "add",
        "x",
        "--from",
        "77.88.8.8",
        "--to",
        "any",
        "--owner",
        "a",
        "--reason",
        "b",
    ];
    disk.fill()?;
    let answer = soon(&site, &add)?;
    ensure!(
        answer.code == Some(1) && answer.stderr.contains("No space left on device"),
        "{answer:?}"
    );
    ensure!(site.passes()? == FILTERED, "a refused grant opens nothing");
    let answer = soon(&site, &["reload"])?;
    ensure!(
        answer.code == Some(1) && answer.stdout.contains("cannot save the active image"),
        "{answer:?}"
    );
    let unfinished = disk.unfinished()?;
    ensure!(unfinished.is_empty(), "{unfinished:?}");
    fs::remove_file(disk.filler())?;
    let answer = soon(&site, &add)?;
    ensure!(answer.code == Some(0), "{answer:?}");
    ensure!(site.passes()? == [true, true]);
    // What the log says became true, and each line is whole.
    let log = fs::read_to_string(site.edge.state().join("audit.jsonl"))?;
    let lines = log.lines().map(serde_json::from_str::<Value>);
    let done = lines.map(|line| Ok(line?["result"] == "done"));
    let done = done.collect::<Result<Vec<bool>>>()?;
    ensure!(done.iter().filter(|done| **done).count() == 1, "{log}");
    daemon.interrupt(PATIENCE)?;
    Ok(())
}
