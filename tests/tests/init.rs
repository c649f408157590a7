//! `geofence init`: a first configuration without a terminal, and what the operator learns from it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result, ensure};
use geofence_tests::edge::PATIENCE;
use geofence_tests::require_root;
use geofence_tests::site::Site;

#[test]
fn init_writes_a_configuration_that_starts() -> Result<()> {
    require_root!();
    let site = Site::new("")?;
    let file = site.word("first/geofence.toml")?;
    let words = [
        "init",
        "--interface",
        "edge0",
        "--block",
        "RU,BY",
        "--config",
        &file,
    ];
    let answer = site
        .edge
        .ask(&[&words[..], &["--management", "198.51.100.0/24,2001:db8::7"]].concat())?;
    ensure!(matches!(answer.code, Some(0 | 1)), "{answer:?}");
    for line in [
        format!("wrote {file}"),
        "countries    blocked: Belarus (BY), Russia (RU)".to_owned(),
        "kernel       Linux".to_owned(),
        "lock-out     the policy cuts off none of the".to_owned(),
        format!("watch        geofence run --config {file} --mode monitor"),
        format!("enforce      geofence run --config {file}"),
    ] {
        ensure!(
            answer.stdout.contains(&line),
            "no {line:?} in\n{}",
            answer.stdout
        );
    }
    let mode = fs::metadata(&file)?.permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    ensure!(
        site.edge.program("edge0")?.is_none(),
        "init attached a filter"
    );

    let again = site.edge.ask(&words)?;
    assert_eq!(again.code, Some(2));
    ensure!(again.stderr.contains("--force replaces it"), "{again:?}");
    let text = fs::read_to_string(&file)?;
    ensure!(
        text.contains("management = [\"198.51.100.0/24\", \"2001:db8::7\"]"),
        "{text}"
    );

    let daemon = site.edge.run(&["--config", &file])?;
    assert_eq!(site.passes()?, [false, true]);
    daemon.interrupt(PATIENCE)?;
    Ok(())
}

#[test]
fn init_writes_nothing_that_is_invalid_or_incomplete() -> Result<()> {
    require_root!();
    let site = Site::new("")?;
    let file = site.word("first/geofence.toml")?;
    for (words, said) in [
        (
            &["--block", "RU"][..],
            "name the interface to protect with --interface",
        ),
        (&["--interface", "eth7"], "eth7"),
        (&["--interface", "edge0", "--block", "UK"], "GB"),
        (
            &["--interface", "edge0", "--management", "0.0.0.0/0"],
            "management",
        ),
    ] {
        let answer = site
            .edge
            .ask(&[&["init", "--config", &file], words].concat())?;
        assert_eq!(answer.code, Some(2), "{answer:?}");
        ensure!(answer.stderr.contains(said), "{answer:?}");
        ensure!(
            !site.path("first/geofence.toml").exists(),
            "{words:?} wrote a file"
        );
    }
    Ok(())
}

#[test]
fn init_names_the_session_that_the_policy_would_cut_off() -> Result<()> {
    require_root!();
    let site = Site::new("")?;
    let file = site.word("geofence-first.toml")?;
    let here = site.edge.pair.edge_address_for("192.0.2.1".parse()?);
    let mut command = geofence_tests::daemon::geofence(&site.edge.pair.edge)?;
    let output = command
        .args(["init", "--interface", "edge0", "--config", &file])
        .env("SSH_CONNECTION", format!("77.88.8.8 50000 {here} 22"))
        .output()?;
    let said = String::from_utf8(output.stdout)?;
    assert_eq!(output.status.code(), Some(1), "{said}");
    let line = said.lines().find(|line| line.contains("77.88.8.8"));
    ensure!(
        line.context(said.clone())?.contains("country_blocked"),
        "{said}"
    );
    ensure!(said.contains("management = [\"77.88.8.8\"]"), "{said}");
    Ok(())
}
