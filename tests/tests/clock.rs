//! The wall clock steps by years: what was promised for some seconds lasts for those, and what ends at a time of the
//! wall clock follows it.
//!
//! The daemon and the commands are given a clock of their own (`fake_clock`).

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use geofence_tests::daemon::{Daemon, geofence};
use geofence_tests::edge::{Edge, LISTEN, PATIENCE};
use geofence_tests::fake_clock::{self, missing};
use geofence_tests::require_root;
use geofence_tests::wait::{in_time, poll};
use geofence_user::model::units::UnixSeconds;
use geofence_user::os::clock::boot_now;
use tempfile::TempDir;

/// A country that is blocked, and one that is when a policy is on trial.
const RUSSIAN: &str = "77.88.8.8";
const GERMAN: &str = "84.200.69.80";
/// An address of that country which an override places in the one that is blocked.
const OVERRIDDEN: &str = "84.200.70.40";

/// What the clock is off by: first, and later.
const STEPS: [[&str; 2]; 4] = [
    ["+0", "+10y"],
    ["+0", "-10y"],
    ["+10y", "+0"],
    ["-10y", "+10y"],
];

/// How late the end may be seen. The kernel ends a promise at the very moment; the rest is what a look takes on a busy
/// machine.
const LATE_MAX: Duration = Duration::from_secs(2);

/// A machine whose geofence has a clock of its own.
struct Site {
    daemon: Daemon,
    edge: Edge,
    directory: TempDir,
    environment: Vec<(&'static str, String)>,
}

/// Nanoseconds since boot.
fn boot() -> Result<Duration> {
    Ok(Duration::from_nanos(boot_now()?))
}

impl Site {
    fn new(offset: &str) -> Result<Self> {
        Self::with(offset, "block = [\"RU\"]\n")
    }

    /// A site whose configuration has this text.
    fn with(offset: &str, text: &str) -> Result<Self> {
        let edge = Edge::new()?;
        let directory = tempfile::tempdir()?;
        let path = |name: &str| directory.path().join(name).display().to_string();
        let environment = fake_clock::environment(directory.path())?;
        fake_clock::set(directory.path(), offset)?;
        std::fs::write(path("geofence.toml"), text)?;
        std::fs::write(path("next.toml"), "block = [\"DE\"]\n")?;
        let config = path("geofence.toml");
        let own: Vec<_> = environment
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let words = [
            "--interface",
            edge.interface(),
            "--config",
            &config,
            "--force",
        ];
        let mut daemon = Daemon::run(&edge.pair.edge, &words, &own)?;
        daemon.wait_healthy(LISTEN.parse()?, PATIENCE)?;
        Ok(Self {
            daemon,
            edge,
            directory,
            environment,
        })
    }

    /// Moves the clock of the daemon and of what is asked from now on.
    fn step(&self, offset: &str) -> Result<()> {
        fake_clock::set(self.directory.path(), offset)?;
        // The daemon has heard of it: the data is ten years older than it was, or not.
        let status = self.ask(&["status", "--json"])?;
        let age = status["databases"][0]["age_days"].as_u64();
        let age = age.with_context(|| format!("no age: {status}"))?;
        ensure!((age >= 3600) == (offset == "+10y"), "{offset}: {age} days");
        Ok(())
    }

    fn ask(&self, words: &[&str]) -> Result<serde_json::Value> {
        let mut command = geofence(&self.edge.pair.edge)?;
        let own = self.environment.iter().map(|(name, value)| (name, value));
        let output = command.args(words).envs(own).output()?;
        ensure!(output.status.success(), "{words:?}: {output:?}");
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Waits until a source's packets are no longer treated as promised: not sooner than at the end of the promise, and
    /// not much later. The promise ends between two moments since boot.
    fn wait_end(
        &self,
        source: &str,
        promised: bool,
        [earliest, latest]: [Duration; 2],
    ) -> Result<()> {
        // The start of the last look at which the promise was kept, and the end of the first at which it was not.
        let mut kept = Duration::ZERO;
        let ended = poll(PATIENCE, || {
            let look = boot()?;
            if self.edge.passes(source)? == promised {
                kept = look;
                return Ok(None);
            }
            Ok(Some(boot()?))
        })?;
        let ended = ended.with_context(|| format!("{source}: still so after {PATIENCE:?}"))?;
        ensure!(
            ended >= earliest && kept <= latest + LATE_MAX,
            "{source}: expected an end between {earliest:?} and {latest:?}, but it was between {kept:?} and {ended:?}"
        );
        Ok(())
    }
}

#[test]
fn trial_ends_in_time_when_the_wall_clock_steps() -> Result<()> {
    require_root!(missing());
    for [first, later] in STEPS {
        in_time(|seconds| trial(first, later, seconds))
            .with_context(|| format!("from {first} to {later}"))?;
    }
    Ok(())
}

/// Nothing if the trial was over before the clock had stepped.
fn trial(first: &str, later: &str, seconds: u64) -> Result<Option<()>> {
    let lasting = Duration::from_secs(seconds);
    let site = Site::new(first)?;
    let next = site.directory.path().join("next.toml");
    let next = next.to_str().context("a path")?;
    let within = format!("{seconds}s");
    let begun = boot()?;
    site.ask(&[
        "apply",
        "--json",
        "--force",
        "--confirm-within",
        &within,
        next,
    ])?;
    let end = [begun, boot()?].map(|moment| moment + lasting);
    let seen = [site.edge.passes(GERMAN)?, site.edge.passes(RUSSIAN)?];
    site.step(later)?;
    if boot()? >= end[0] {
        return Ok(None);
    }
    ensure!(
        seen == [false, true],
        "expected that Germany is blocked and Russia passes, but they pass: {seen:?}"
    );
    site.wait_end(GERMAN, false, end)?;
    ensure!(!site.edge.passes(RUSSIAN)?, "Russia is not blocked again");
    // The daemon goes by the same clock as the kernel.
    let tidied = poll(PATIENCE, || {
        let status = site.ask(&["status", "--json"])?;
        Ok(status["trial"].is_null().then_some(()))
    })?;
    tidied.context("the status still shows a trial")?;
    site.daemon.interrupt(PATIENCE)?;
    Ok(Some(()))
}

#[test]
fn exception_expires_in_time_when_the_wall_clock_steps() -> Result<()> {
    require_root!(missing());
    for [first, later] in STEPS {
        in_time(|seconds| exception(first, later, seconds))
            .with_context(|| format!("from {first} to {later}"))?;
    }
    Ok(())
}

/// Nothing if the exception was over before the clock had stepped.
fn exception(first: &str, later: &str, seconds: u64) -> Result<Option<()>> {
    let lasting = Duration::from_secs(seconds);
    let site = Site::new(first)?;
    // Written in whole seconds of the wall clock, so it may last one less; what is behind the comma is cut off.
    let expires = format!("{}s", seconds + 1);
    let begun = boot()?;
    site.ask(&[
        "exception",
        "add",
        "x",
        "--from",
        RUSSIAN,
        "--to",
        "any",
        "--expires",
        &expires,
        "--owner",
        "o",
        "--reason",
        "r",
        "--json",
    ])?;
    let end = [begun, boot()? + Duration::from_secs(1)].map(|moment| moment + lasting);
    let passes = site.edge.passes(RUSSIAN)?;
    site.step(later)?;
    if boot()? >= end[0] {
        return Ok(None);
    }
    ensure!(passes, "the exception is not in force");
    site.wait_end(RUSSIAN, true, end)?;
    site.daemon.interrupt(PATIENCE)?;
    Ok(Some(()))
}

/// A time of the wall clock that one step of it passes.
fn in_five_years() -> String {
    let years = Duration::from_secs(5 * 365 * 86_400);
    UnixSeconds::now().plus(years).to_string()
}

/// Waits until a source's packets pass or are dropped.
fn wait_passes(site: &Site, source: &str, expected: bool) -> Result<()> {
    let seen = poll(PATIENCE, || {
        Ok((site.edge.passes(source)? == expected).then_some(()))
    })?;
    seen.with_context(|| {
        let log = site.daemon.stderr();
        format!("{source} passes: {} after {PATIENCE:?}\n{log}", !expected)
    })
}

/// The state that `exception list` gives to each exception.
fn states(site: &Site) -> Result<Vec<String>> {
    let all = site.ask(&["exception", "list", "--json"])?;
    let all = all["exceptions"].as_array().context("no exceptions")?;
    Ok(all
        .iter()
        .map(|one| format!("{} {}", one["id"], one["state"]).replace('"', ""))
        .collect())
}

#[test]
fn exception_until_a_time_follows_a_wall_clock_that_is_set() -> Result<()> {
    require_root!(missing());
    let until = in_five_years();
    let own = format!(
        "block = [\"RU\", \"DE\"]\n\n[[exception]]\nid = \"own\"\nfrom = [\"{GERMAN}\"]\nto = [\"any\"]\n\
         owner = \"o\"\nreason = \"r\"\nuntil = \"{until}\"\n"
    );
    let site = Site::with("+0", &own)?;
    site.ask(&[
        "exception",
        "add",
        "x",
        "--from",
        RUSSIAN,
        "--to",
        "any",
        "--until",
        &until,
        "--owner",
        "o",
        "--reason",
        "r",
        "--json",
    ])?;
    let expect = |is_in_force: bool| -> Result<()> {
        wait_passes(&site, RUSSIAN, is_in_force)?;
        wait_passes(&site, GERMAN, is_in_force)?;
        let state = if is_in_force { "live" } else { "lapsed" };
        // The kernel has the new image a moment before the daemon knows.
        let expected = [format!("own {state}"), format!("x {state}")];
        let seen = poll(PATIENCE, || Ok((states(&site)? == expected).then_some(())))?;
        seen.with_context(|| format!("not {expected:?}: {:?}", states(&site)))
    };
    expect(true)?;
    site.step("+10y")?;
    expect(false)?;
    // What ended too early is in force again.
    site.step("+0")?;
    expect(true)?;
    // Deadlines follow also where the configuration cannot be read any more.
    std::fs::write(
        site.directory.path().join("geofence.toml"),
        "block = [\"XX\"]\n",
    )?;
    site.step("+10y")?;
    expect(false)?;
    site.daemon.interrupt(PATIENCE).map(drop)
}

#[test]
fn list_entry_and_override_that_expire_follow_a_wall_clock_that_is_set() -> Result<()> {
    require_root!(missing());
    let until = in_five_years();
    let own = format!(
        "block = [\"RU\"]\n\n[[list]]\nname = \"own\"\nfile = \"own.json\"\nformat = \"stix\"\n\n\
         [[geo-override]]\nprefix = \"{OVERRIDDEN}\"\ncountry = \"RU\"\nreason = \"rented there\"\n\
         until = \"{until}\"\n"
    );
    let text = serde_json::json!({
        "type": "bundle",
        "id": "bundle--5d0092c5-5f74-4287-9642-33f4c354e56d",
        "objects": [{
            "type": "indicator",
            "spec_version": "2.1",
            "id": "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f",
            "created": "2020-01-01T00:00:00Z",
            "modified": "2020-01-01T00:00:00Z",
            "pattern": format!("[ipv4-addr:value = '{GERMAN}']"),
            "pattern_type": "stix",
            "valid_from": "2020-01-01T00:00:00Z",
            "valid_until": until,
        }],
    });
    let site = Site::with("+0", &own)?;
    std::fs::write(site.directory.path().join("own.json"), text.to_string())?;
    let expect = |entries: u64| -> Result<()> {
        wait_passes(&site, GERMAN, entries == 0)?;
        wait_passes(&site, OVERRIDDEN, entries == 0)?;
        // The kernel has the new image a moment before the daemon knows.
        let seen = poll(PATIENCE, || {
            let lists = site.ask(&["list", "--json"])?;
            Ok((lists[0]["entries"] == entries).then_some(()))
        })?;
        seen.with_context(|| format!("the list has not {entries} entries"))
    };
    expect(1)?;
    site.step("+10y")?;
    expect(0)?;
    site.step("+0")?;
    expect(1)?;
    site.daemon.interrupt(PATIENCE).map(drop)
}
