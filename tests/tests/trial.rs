//! A policy on trial: it stays when confirmed, and is reverted by itself when not, with and without a daemon.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use geofence_tests::edge::{Answer, PATIENCE};
use geofence_tests::require_root;
use geofence_tests::site::{RUSSIAN, Site};
use geofence_tests::wait::{in_time, poll};

const BEFORE: [bool; 2] = [false, true];
const AFTER: [bool; 2] = [true, false];

/// A machine whose geofence blocks Russia, with a configuration beside that blocks Germany.
fn site() -> Result<Site> {
    let site = Site::new("block = [\"RU\"]\n")?;
    site.write("next.toml", "block = [\"DE\"]\n")?;
    Ok(site)
}

fn text(site: &Site, name: &str) -> Result<String> {
    Ok(std::fs::read_to_string(site.path(name))?)
}

/// Puts a configuration on trial.
fn apply(site: &Site, name: &str, within: &str) -> Result<Answer> {
    let file = site.word(name)?;
    site.edge
        .ask(&["apply", "--json", "--confirm-within", within, &file])
}

/// Puts the other policy on trial for some seconds, in which `work` must be done; says whether it was.
fn in_trial(site: &Site, seconds: u64, work: impl FnOnce() -> Result<()>) -> Result<bool> {
    let begun = Instant::now();
    let answer = apply(site, "next.toml", &format!("{seconds}s"))?;
    ensure!(answer.code == Some(0), "{answer:?}");
    let seen = site.passes()?;
    work()?;
    // What was over before it had been looked at says nothing.
    if begun.elapsed() >= Duration::from_secs(seconds) {
        return Ok(false);
    }
    ensure!(
        seen == AFTER,
        "expected Russia and Germany to pass: {AFTER:?}, but they pass: {seen:?}"
    );
    Ok(true)
}

fn ask(site: &Site, verb: &str) -> Result<Answer> {
    site.edge.ask(&[verb, "--json"])
}

#[test]
fn confirmed_policy_stays_and_replaces_the_configuration() -> Result<()> {
    require_root!();
    let site = site()?;
    let _daemon = site.run(&[])?;
    assert_eq!(site.passes()?, BEFORE);
    assert!(in_trial(&site, 600, || Ok(()))?);

    let status = ask(&site, "status")?.json()?;
    let left = status["trial"]["seconds_left"].as_u64();
    assert!(left.is_some_and(|left| left <= 600), "{status}");
    // Nothing else is put in place meanwhile.
    for verb in ["reload", "apply"] {
        let refused = ask(&site, verb)?;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert_eq!(refused.json()?["cause"], "trial");
    }

    let confirmed = ask(&site, "confirm")?;
    assert_eq!(confirmed.code, Some(0), "{confirmed:?}");
    assert_eq!(text(&site, "geofence.toml")?, text(&site, "next.toml")?);
    assert_eq!(text(&site, "geofence.toml.before")?, "block = [\"RU\"]\n");
    assert!(ask(&site, "status")?.json()?["trial"].is_null());
    assert_eq!(site.passes()?, AFTER);

    let none = ask(&site, "confirm")?;
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
fn confirm_writes_through_a_link_to_its_target() -> Result<()> {
    require_root!();
    let site = site()?;
    // The configuration is a link to a file that something else manages.
    let managed = tempfile::tempdir()?;
    let target = managed.path().join("managed.toml");
    std::fs::rename(site.path("geofence.toml"), &target)?;
    std::os::unix::fs::symlink(&target, site.path("geofence.toml"))?;
    let _daemon = site.run(&[])?;
    // A file beside the link is in the same directory, and one beside the target is not: relative paths start here.
    let beside = managed.path().join("next.toml");
    std::fs::copy(site.path("next.toml"), &beside)?;
    let beside = beside.to_str().context("a path")?;
    let refused = site.edge.ask(&["apply", beside])?;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(in_trial(&site, 600, || Ok(()))?);
    let confirmed = ask(&site, "confirm")?;
    assert_eq!(confirmed.code, Some(0), "{confirmed:?}");
    assert_eq!(std::fs::read_link(site.path("geofence.toml"))?, target);
    assert_eq!(std::fs::read_to_string(&target)?, text(&site, "next.toml")?);
    let before = managed.path().join("managed.toml.before");
    assert_eq!(std::fs::read_to_string(before)?, "block = [\"RU\"]\n");
    Ok(())
}

#[test]
fn applied_file_stays_whatever_its_name() -> Result<()> {
    require_root!();
    let site = site()?;
    site.write("geofence.toml.new", "block = [\"DE\"]\n")?;
    let _daemon = site.run(&[])?;
    let answer = apply(&site, "geofence.toml.new", "600s")?;
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert_eq!(text(&site, "geofence.toml.new")?, "block = [\"DE\"]\n");
    Ok(())
}

#[test]
fn unconfirmed_policy_is_reverted_in_time() -> Result<()> {
    require_root!();
    let site = site()?;
    let _daemon = site.run(&[])?;
    for _ in 0..2 {
        in_time(|seconds| {
            let was_in_time = in_trial(&site, seconds, || Ok(()))?;
            site.wait_both(BEFORE)?;
            poll(PATIENCE, || {
                Ok(ask(&site, "status")?.json()?["trial"]
                    .is_null()
                    .then_some(()))
            })?
            .context("the trial does not end")?;
            assert_eq!(site.passes()?, BEFORE);
            Ok(was_in_time.then_some(()))
        })?;
    }
    assert_eq!(text(&site, "geofence.toml")?, "block = [\"RU\"]\n");

    // Before its time, on request.
    assert!(in_trial(&site, 600, || Ok(()))?);
    let reverted = ask(&site, "revert")?;
    assert_eq!(reverted.code, Some(0), "{reverted:?}");
    assert_eq!(site.passes()?, BEFORE);
    let reloaded = ask(&site, "reload")?;
    assert_eq!(reloaded.code, Some(0), "{reloaded:?}");
    assert_eq!(site.passes()?, BEFORE);
    Ok(())
}

#[test]
fn kernel_reverts_a_trial_without_a_daemon() -> Result<()> {
    require_root!();
    let site = in_time(|seconds| {
        let site = site()?;
        let daemon = site.run(&[])?;
        let was_in_time = in_trial(&site, seconds, || daemon.kill(PATIENCE).map(drop))?;
        Ok(was_in_time.then_some(site))
    })?;
    site.wait_both(BEFORE)?;
    // The answer is that of the policy in force now, not of the one on trial.
    let explained = site
        .edge
        .ask(&["explain", "--kernel", RUSSIAN, "--dport", "22"])?;
    assert_eq!(explained.code, Some(1), "{explained:?}");
    ensure!(
        explained.stdout.contains("country_blocked"),
        "{explained:?}"
    );
    // A new daemon knows of no trial.
    let _daemon = site.run(&[])?;
    assert_eq!(site.passes()?, BEFORE);
    assert!(ask(&site, "status")?.json()?["trial"].is_null());
    Ok(())
}

#[test]
fn refused_trial_changes_nothing() -> Result<()> {
    require_root!();
    let site = site()?;
    let _daemon = site.run(&[])?;
    let elsewhere = tempfile::tempdir()?;
    let file = elsewhere.path().join("next.toml");
    std::fs::write(&file, "block = [\"DE\"]\n")?;
    let answer = site
        .edge
        .ask(&["apply", file.to_str().context("a path")?])?;
    assert_eq!(answer.code, Some(1), "{answer:?}");
    assert!(answer.stderr.contains("same directory"), "{answer:?}");

    std::fs::write(site.path("broken.toml"), "block = [\"DE\"\n")?;
    let broken = apply(&site, "broken.toml", "10m")?;
    assert_eq!(broken.code, Some(1), "{broken:?}");
    assert_eq!(broken.json()?["cause"], "configuration");
    for (name, within) in [
        ("absent.toml", "10m"),
        ("next.toml", "2h"),
        ("next.toml", "60"),
    ] {
        let answer = apply(&site, name, within)?;
        assert_eq!(answer.code, Some(2), "{answer:?}");
    }
    assert_eq!(site.passes()?, BEFORE);
    assert!(ask(&site, "status")?.json()?["trial"].is_null());
    // A gateway that the new policy would cut off is named by reload's tests; the same guard stands here.
    let none = ask(&site, "revert")?;
    assert_eq!(none.code, Some(1), "{none:?}");
    Ok(())
}

#[test]
fn end_of_a_trial_clears_a_reload_that_it_refused() -> Result<()> {
    require_root!();
    let site = site()?;
    let _daemon = site.run(&[])?;
    for end in ["revert", "confirm"] {
        let applied = apply(&site, "next.toml", "10m")?;
        ensure!(applied.code == Some(0), "{applied:?}");
        let reloaded = ask(&site, "reload")?;
        ensure!(reloaded.code == Some(1), "{reloaded:?}");
        ensure!(site.edge.metric("geofence_degraded")? == 1.0);
        ensure!(ask(&site, end)?.code == Some(0));
        ensure!(site.edge.metric("geofence_degraded")? == 0.0, "after {end}");
        let status = site.edge.ask(&["status"])?;
        ensure!(status.code == Some(0), "{end}: {status:?}");
    }
    // A trial whose time is over ends like one that is reverted.
    in_time(|seconds| {
        site.write("next.toml", "block = [\"RU\", \"DE\"]\n")?;
        let begun = Instant::now();
        ensure!(apply(&site, "next.toml", &format!("{seconds}s"))?.code == Some(0));
        let refused = ask(&site, "reload")?.code == Some(1);
        if begun.elapsed() >= Duration::from_secs(seconds) {
            // Perhaps too late; the next one begins when this one is over.
            poll(PATIENCE, || {
                let status = ask(&site, "status")?.json()?;
                Ok(status["trial"].is_null().then_some(()))
            })?
            .context("the trial does not end")?;
            return Ok(None);
        }
        ensure!(refused, "a reload during a trial");
        let cleared = poll(PATIENCE, || {
            Ok((site.edge.metric("geofence_degraded")? == 0.0).then_some(()))
        })?;
        ensure!(cleared.is_some(), "degraded past the end of the trial");
        ensure!(ask(&site, "status")?.json()?["trial"].is_null());
        Ok(Some(()))
    })?;
    // A confirmed policy is the one that was asked for last, so an earlier failure is over too.
    site.configure("block = [\"DE\"\n")?;
    ensure!(ask(&site, "reload")?.code == Some(1));
    site.write("next.toml", "block = [\"RU\"]\n")?;
    ensure!(apply(&site, "next.toml", "10m")?.code == Some(0));
    ensure!(
        site.edge.metric("geofence_degraded")? == 1.0,
        "it is on trial"
    );
    ensure!(ask(&site, "confirm")?.code == Some(0));
    ensure!(site.edge.metric("geofence_degraded")? == 0.0);
    Ok(())
}
