//! Which policy a command answers by, and that its first line says so.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Result, ensure};
use geofence_tests::daemon::{Daemon, geofence};
use geofence_tests::edge::{LISTEN, PATIENCE};
use geofence_tests::link::veth;
use geofence_tests::namespace::Namespace;
use geofence_tests::require_root;

/// What a command says, and its exit code.
fn said(edge: &Namespace, usual: &Path, words: &[&str]) -> Result<(Option<i32>, String)> {
    let mut command = geofence(edge)?;
    command.args(words).arg("--default-config").arg(usual);
    let output = command.output()?;
    let text = [output.stdout, output.stderr].concat();
    Ok((
        output.status.code(),
        String::from_utf8_lossy(&text).into_owned(),
    ))
}

#[test]
fn commands_read_the_usual_configuration_and_name_it() -> Result<()> {
    require_root!();
    let edge = Namespace::new()?;
    let place = tempfile::tempdir()?;
    let usual = place.path().join("geofence.toml");
    let (_, text) = said(&edge, &usual, &["check"])?;
    ensure!(
        text.starts_with("policy:      the built-in default\n"),
        "{text}"
    );
    std::fs::write(&usual, "block = [\"DE\"]\n")?;
    std::fs::create_dir(place.path().join("conf.d"))?;
    std::fs::write(
        place.path().join("conf.d/10-lists.toml"),
        "replies = \"none\"\n[[list]]\nname = \"own\"\nfile = \"own.txt\"\nformat = \"plain\"\n",
    )?;
    std::fs::write(place.path().join("own.txt"), "203.0.114.0/24\n")?;
    let name = format!("{} and 1 file of conf.d\n", usual.display());
    let (code, text) = said(&edge, &usual, &["explain", "84.200.69.80", "--flow"])?;
    ensure!(
        code == Some(1) && text.starts_with(&format!("policy: {name}drop: ")),
        "{code:?} {text}"
    );
    let (_, text) = said(&edge, &usual, &["lookup", "203.0.114.1"])?;
    ensure!(
        text.starts_with(&format!("policy: {name}")) && text.contains("on the list own"),
        "{text}"
    );
    let (_, text) = said(&edge, &usual, &["list"])?;
    ensure!(
        text.starts_with(&format!("policy: {name}")) && text.contains(" own "),
        "{text}"
    );
    let (_, text) = said(&edge, &usual, &["check", "--show"])?;
    ensure!(
        text.contains("conf.d/10-lists.toml:1:1\nreplies = \"none\""),
        "{text}"
    );
    let other = place.path().join("other.toml");
    std::fs::write(&other, "block = [\"FR\"]\n")?;
    let (code, text) = said(&edge, &usual, &["check", &other.display().to_string()])?;
    ensure!(code == Some(0) && text.contains("France"), "{text}");
    Ok(())
}

#[test]
fn commands_answer_for_the_running_filter_and_its_lists() -> Result<()> {
    require_root!();
    let (peer, edge) = (Namespace::new()?, Namespace::new()?);
    let pair = veth(&peer, &edge)?;
    let place = tempfile::tempdir()?;
    let (usual, own) = (
        place.path().join("absent.toml"),
        place.path().join("own.toml"),
    );
    std::fs::write(
        &own,
        format!(
            "interfaces = [\"{}\"]\nlisten = \"{LISTEN}\"\nblock = [\"DE\"]\nreplies = \"none\"\n[[list]]\n\
             name = \"far\"\nurl = \"http://127.0.0.1:9/far\"\nformat = \"plain\"\n",
            pair.edge_interface
        ),
    )?;
    let path = own.display().to_string();
    let mut daemon = Daemon::run(&edge, &["--config", &path], &[])?;
    daemon.wait_healthy(LISTEN.parse::<SocketAddr>()?, PATIENCE)?;
    for (source, code) in [("84.200.69.80", 1), ("77.88.8.8", 0)] {
        let (ended, text) = said(&edge, &usual, &["explain", source])?;
        ensure!(
            ended == Some(code) && text.starts_with("policy: the running filter (program "),
            "{ended:?} {text}"
        );
    }
    let (ended, text) = said(&edge, &usual, &["explain", "84.200.69.80", "--flow"])?;
    ensure!(
        ended == Some(1),
        "the running filter passes no replies: {text}"
    );
    let (_, text) = said(&edge, &usual, &["lookup", "84.200.69.80"])?;
    ensure!(
        text.starts_with("policy: the running filter (program ") && text.contains("blocked"),
        "{text}"
    );
    let (ended, text) = said(&edge, &usual, &["explain", "84.200.69.80", "--block", "RU"])?;
    ensure!(
        ended == Some(0) && text.starts_with("policy: the built-in default, with --block\n"),
        "{ended:?} {text}"
    );
    // Nothing answers at the list's address, so a fetch that is tried fails.
    let (ended, text) = said(&edge, &usual, &["update"])?;
    ensure!(
        ended == Some(1)
            && text.starts_with(&format!("policy: {path}\n"))
            && text.contains("far: FAILED"),
        "{ended:?} {text}"
    );
    let ended = daemon.interrupt(PATIENCE)?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    Ok(())
}
