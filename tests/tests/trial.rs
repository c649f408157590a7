//! A policy on trial: it stays when confirmed and goes by itself when not, whoever lives.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use geofence_tests::daemon::Daemon;
use geofence_tests::edge::{Answer, Edge, PATIENCE};
use geofence_tests::privilege;
use geofence_tests::wait::poll;
use nix::sys::signal::Signal;
use tempfile::TempDir;

/// Addresses of two countries that the configurations block in turn.
const RUSSIAN: &str = "77.88.8.8";
const GERMAN: &str = "84.200.69.80";
const BEFORE: [bool; 2] = [false, true];
const AFTER: [bool; 2] = [true, false];

/// A machine whose geofence blocks Russia, with a configuration beside that blocks Germany.
struct Site {
    edge: Edge,
    directory: TempDir,
}

impl Site {
    fn new() -> Result<Self> {
        let site = Self {
            edge: Edge::new()?,
            directory: tempfile::tempdir()?,
        };
        std::fs::write(site.path("geofence.toml"), "block = [\"RU\"]\n")?;
        std::fs::write(site.path("next.toml"), "block = [\"DE\"]\n")?;
        Ok(site)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn text(&self, name: &str) -> Result<String> {
        Ok(std::fs::read_to_string(self.path(name))?)
    }

    fn run(&self) -> Result<Daemon> {
        let config = self.path("geofence.toml");
        let config = config.to_str().context("a path")?;
        self.edge.run(&["--config", config])
    }

    /// Puts a configuration on trial for some seconds.
    fn apply(&self, name: &str, within: &str) -> Result<Answer> {
        let file = self.path(name);
        let file = file.to_str().context("a path")?;
        let answer = self
            .edge
            .ask(&["apply", "--json", "--confirm-within", within, file])?;
        if answer.code == Some(0) {
            ensure!(self.passes()? == AFTER, "{answer:?}");
        }
        Ok(answer)
    }

    fn ask(&self, verb: &str) -> Result<Answer> {
        self.edge.ask(&[verb, "--json"])
    }

    /// Whether packets from Russia and from Germany pass.
    fn passes(&self) -> Result<[bool; 2]> {
        Ok([self.edge.passes(RUSSIAN)?, self.edge.passes(GERMAN)?])
    }

    /// Waits until what filtered before filters again.
    fn wait_back(&self) -> Result<()> {
        let mut seen = AFTER;
        poll(PATIENCE, || {
            seen = self.passes()?;
            // The two packets of a look may meet two images; nothing else comes in between.
            Ok((seen == BEFORE).then_some(()))
        })?
        .with_context(|| format!("{seen:?}"))
    }
}

#[test]
fn a_confirmed_policy_stays_and_takes_the_configurations_place() -> Result<()> {
    if !privilege::privileged("a_confirmed_policy_stays_and_takes_the_configurations_place") {
        return Ok(());
    }
    let site = Site::new()?;
    let _daemon = site.run()?;
    assert_eq!(site.passes()?, BEFORE);
    let answer = site.apply("next.toml", "30s")?;
    assert_eq!(answer.code, Some(0), "{answer:?}");

    let status = site.ask("status")?.json()?;
    let left = status["trial"]["seconds_left"].as_u64();
    assert!(left.is_some_and(|left| left <= 30), "{status}");
    // Nothing else is put in place meanwhile.
    for verb in ["reload", "apply"] {
        let refused = site.ask(verb)?;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert_eq!(refused.json()?["cause"], "trial");
    }

    let confirmed = site.ask("confirm")?;
    assert_eq!(confirmed.code, Some(0), "{confirmed:?}");
    assert_eq!(site.text("geofence.toml")?, site.text("next.toml")?);
    assert_eq!(site.text("geofence.toml.before")?, "block = [\"RU\"]\n");
    assert!(site.ask("status")?.json()?["trial"].is_null());
    assert_eq!(site.passes()?, AFTER);

    let none = site.ask("confirm")?;
    assert_eq!(none.code, Some(1), "{none:?}");
    assert_eq!(none.json()?["cause"], "trial");
    // The configuration that has changed is what filters already, so the reload that follows is no change.
    let reloads = "geofence_reloads_total{result=\"ok\"}";
    poll(PATIENCE, || {
        Ok((site.edge.metric(reloads)? >= 1.0).then_some(()))
    })?
    .context("no reload by the new configuration")?;
    assert_eq!(site.passes()?, AFTER);
    Ok(())
}

#[test]
fn a_policy_that_nobody_confirms_goes() -> Result<()> {
    if !privilege::privileged("a_policy_that_nobody_confirms_goes") {
        return Ok(());
    }
    let site = Site::new()?;
    let _daemon = site.run()?;
    for _ in 0..2 {
        let answer = site.apply("next.toml", "2s")?;
        assert_eq!(answer.code, Some(0), "{answer:?}");
        site.wait_back()?;
        poll(PATIENCE, || {
            Ok(site.ask("status")?.json()?["trial"].is_null().then_some(()))
        })?
        .context("the trial does not end")?;
        assert_eq!(site.passes()?, BEFORE);
    }
    assert_eq!(site.text("geofence.toml")?, "block = [\"RU\"]\n");

    // Before its time, when told to.
    site.apply("next.toml", "30s")?;
    let reverted = site.ask("revert")?;
    assert_eq!(reverted.code, Some(0), "{reverted:?}");
    assert_eq!(site.passes()?, BEFORE);
    let reloaded = site.ask("reload")?;
    assert_eq!(reloaded.code, Some(0), "{reloaded:?}");
    assert_eq!(site.passes()?, BEFORE);
    Ok(())
}

#[test]
fn the_kernel_goes_back_with_the_daemon_dead() -> Result<()> {
    if !privilege::privileged("the_kernel_goes_back_with_the_daemon_dead") {
        return Ok(());
    }
    let site = Site::new()?;
    let mut daemon = site.run()?;
    let answer = site.apply("next.toml", "3s")?;
    assert_eq!(answer.code, Some(0), "{answer:?}");
    daemon.signal(Signal::SIGKILL)?;
    daemon.wait(PATIENCE)?;
    site.wait_back()?;
    // Who asks the filter is told what it filters by now, not what was on trial.
    let explained = site
        .edge
        .ask(&["explain", "--kernel", RUSSIAN, "--dport", "22"])?;
    assert_eq!(explained.code, Some(1), "{explained:?}");
    ensure!(
        explained.stdout.contains("country_blocked"),
        "{explained:?}"
    );
    // A new daemon knows of no trial.
    let _daemon = site.run()?;
    assert_eq!(site.passes()?, BEFORE);
    assert!(site.ask("status")?.json()?["trial"].is_null());
    Ok(())
}

#[test]
fn what_cannot_be_tried_is_refused_and_changes_nothing() -> Result<()> {
    if !privilege::privileged("what_cannot_be_tried_is_refused_and_changes_nothing") {
        return Ok(());
    }
    let site = Site::new()?;
    let _daemon = site.run()?;
    let elsewhere = tempfile::tempdir()?;
    let file = elsewhere.path().join("next.toml");
    std::fs::write(&file, "block = [\"DE\"]\n")?;
    let answer = site
        .edge
        .ask(&["apply", file.to_str().context("a path")?])?;
    assert_eq!(answer.code, Some(1), "{answer:?}");
    assert!(answer.stderr.contains("same directory"), "{answer:?}");

    std::fs::write(site.path("broken.toml"), "block = [\"DE\"\n")?;
    let broken = site.apply("broken.toml", "30s")?;
    assert_eq!(broken.code, Some(1), "{broken:?}");
    assert_eq!(broken.json()?["cause"], "configuration");
    for (name, within) in [
        ("absent.toml", "30s"),
        ("next.toml", "2h"),
        ("next.toml", "60"),
    ] {
        let answer = site.apply(name, within)?;
        assert_eq!(answer.code, Some(2), "{answer:?}");
    }
    assert_eq!(site.passes()?, BEFORE);
    assert!(site.ask("status")?.json()?["trial"].is_null());
    // A gateway that the new policy would cut off is named by reload's tests; the same guard stands here.
    let none = site.ask("revert")?;
    assert_eq!(none.code, Some(1), "{none:?}");
    Ok(())
}
