//! What vanishes beneath a daemon: the link that it attached, and its state directory. Commands and faces tell what is.

use anyhow::{Context as _, Result, ensure};
use geofence_tests::daemon::Daemon;
use geofence_tests::edge::PATIENCE;
use geofence_tests::require_root;
use geofence_tests::site::{RUSSIAN, Site};
use geofence_tests::wait::poll;
use nix::sys::signal::Signal;

#[test]
fn reload_after_a_detachment_says_that_nothing_is_filtered() -> Result<()> {
    require_root!();
    let site = Site::new("block = [\"RU\"]\n")?;
    let daemon = site.run(&[])?;
    let answer = site.edge.ask(&["reload"])?;
    ensure!(answer.code == Some(0), "{answer:?}");
    site.edge.detach(&["--interface", "edge0"])?;
    ensure!(site.edge.passes(RUSSIAN)?, "nothing filters");
    for words in [vec!["reload"], vec!["reload", "--json"]] {
        let answer = site.edge.ask(&words)?;
        ensure!(
            answer.code == Some(1)
                && answer
                    .stdout
                    .contains("edge0 is NOT PROTECTED: the filter was detached"),
            "{answer:?}"
        );
    }
    let answer = site.edge.ask(&["apply", "--confirm-within", "60s"])?;
    ensure!(
        answer.stdout.contains("edge0 is NOT PROTECTED"),
        "{answer:?}"
    );
    daemon.interrupt(PATIENCE).map(drop)
}

/// Ends a daemon whose filter stays.
fn terminate(mut daemon: Daemon) -> Result<()> {
    daemon.signal(Signal::SIGTERM)?;
    daemon.wait(PATIENCE).map(drop)
}

/// What the status and the health say is not in place.
fn said(site: &Site) -> Result<[String; 2]> {
    let status = site.edge.ask(&["status"])?;
    ensure!(status.stdout.contains("edge0: protected"), "{status:?}");
    Ok([status.stdout, site.edge.get("/healthz")?.body])
}

#[test]
fn lost_state_directory_is_reported_by_every_face_and_taken_up_when_it_returns() -> Result<()> {
    require_root!();
    let site = Site::new("block = [\"RU\"]\n")?;
    let mut daemon = site.run(&[])?;
    site.done(&[
        "exception",
        "add",
        "x",
        "--from",
        "192.0.2.7",
        "--to",
        "any",
        "--owner",
        "o",
        "--reason",
        "r",
    ])?;
    let state = site.edge.state();
    let away = state.with_added_extension("away");
    std::fs::rename(&state, &away)?;
    let gone = format!("THE STATE DIRECTORY {} IS GONE", state.display());
    daemon.wait_line(&gone, PATIENCE)?;
    let report = poll(PATIENCE, || {
        let [status, health] = said(&site)?;
        let is_reported =
            status.contains(&gone) && health.contains(&gone) && health.contains("degraded");
        Ok(is_reported.then_some(status))
    })?;
    let report = report.context("the faces do not tell that it is gone")?;
    ensure!(report.contains("Restart geofence"), "{report}");
    std::fs::rename(&away, &state)?;
    daemon.wait_line("the active image is saved", PATIENCE)?;
    let [status, health] = said(&site)?;
    ensure!(
        !status.contains("DEGRADED") && health.contains("\"ok\""),
        "{status} {health}"
    );
    terminate(daemon)?;
    // Removed for good, a restart makes it again and leaves no gap.
    let mut daemon = site.run(&[])?;
    std::fs::remove_dir_all(&state)?;
    daemon.wait_line(&gone, PATIENCE)?;
    ensure!(!site.edge.passes(RUSSIAN)?, "the filter goes on");
    terminate(daemon)?;
    let daemon = site.run(&[])?;
    ensure!(
        state.join("image").is_file(),
        "the image is not saved again"
    );
    ensure!(
        !said(&site)?[0].contains("DEGRADED"),
        "it is still reported"
    );
    daemon.interrupt(PATIENCE).map(drop)
}
