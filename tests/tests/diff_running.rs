//! `geofence diff` against a running filter: its image from the kernel, its counters from its metrics.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use geofence_tests::daemon::{Daemon, geofence};
use geofence_tests::edge::{LISTEN, PATIENCE};
use geofence_tests::every_key;
use geofence_tests::frames::between;
use geofence_tests::link::veth;
use geofence_tests::namespace::Namespace;
use geofence_tests::packet_socket::PacketSocket;
use geofence_tests::probe::exchange;
use geofence_tests::require_root;
use serde_json::Value;

#[test]
fn diff_compares_a_policy_with_the_running_filter_and_its_traffic() -> Result<()> {
    require_root!();
    let (peer, edge) = (Namespace::new()?, Namespace::new()?);
    let pair = veth(&peer, &edge)?;
    let diff = |words: &[&str]| -> Result<(Option<i32>, Value)> {
        let mut command = geofence(&edge)?;
        let output = command
            .args(["diff", "--json", "--over", "0"])
            .args(words)
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        let object = serde_json::from_slice(&output.stdout).with_context(|| said.into_owned())?;
        Ok((output.status.code(), object))
    };
    ensure!(
        diff(&[]).is_err(),
        "nothing runs, so there is nothing to compare with"
    );

    let interface = pair.edge_interface.as_str();
    let mut daemon = Daemon::run(&edge, &["--interface", interface, "--listen", LISTEN], &[])?;
    let listen: SocketAddr = LISTEN.parse()?;
    daemon.wait_healthy(listen, PATIENCE)?;
    let (sender, receiver) = (
        PacketSocket::open(&peer, &pair.peer_interface)?,
        PacketSocket::open(&edge, &pair.edge_interface)?,
    );
    // Three of a blocked country, two of one that is not.
    let mut frames = Vec::new();
    for (source, count) in [("77.88.8.8", 3), ("84.200.69.80", 2)] {
        let frame = between(source.parse()?, "192.0.2.1".parse()?);
        frames.extend(vec![frame.tcp(40_000, 22).syn().build(); count]);
    }
    exchange(&sender, &receiver, &frames, PATIENCE)?;

    let (code, equal) = diff(&[])?;
    assert_eq!((code, &equal["equal"]), (Some(0), &true.into()), "{equal}");
    let (code, other) = diff(&["--block", "DE,UA,BY,CN,KP"])?;
    assert_eq!(code, Some(1));
    assert_eq!(
        (&other["blocked"][0], &other["unblocked"][0]),
        (&"DE".into(), &"RU".into())
    );
    let traffic = other["traffic"]
        .as_array()
        .with_context(|| other.to_string())?;
    let seen: Vec<_> = traffic
        .iter()
        .map(|one| (&one["country"], &one["packets"], &one["whole"]))
        .collect();
    assert_eq!(
        seen,
        [
            (&"RU".into(), &3.into(), &true.into()),
            (&"DE".into(), &2.into(), &true.into())
        ]
    );
    let ended = daemon.interrupt(PATIENCE)?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    Ok(())
}

#[test]
fn change_of_every_key_is_named_against_the_running_filter() -> Result<()> {
    require_root!();
    let (peer, edge) = (Namespace::new()?, Namespace::new()?);
    let pair = veth(&peer, &edge)?;
    let place = tempfile::tempdir()?;
    let interfaces = format!("interfaces = [\"{}\"]", pair.edge_interface);
    let listen = format!("listen = \"{LISTEN}\"");
    let global = [("interfaces", interfaces.as_str()), ("listen", &listen)];
    let (base, variants) = every_key::write(place.path(), &global);
    let path = |name: &str| place.path().join(name).display().to_string();
    std::fs::write(path("base.toml"), base)?;
    let mut daemon = Daemon::run(&edge, &["--config", &path("base.toml"), "--force"], &[])?;
    daemon.wait_healthy(LISTEN.parse()?, PATIENCE)?;
    let diff = |name: &str| -> Result<(Option<i32>, String)> {
        let mut command = geofence(&edge)?;
        let output = command
            .args(["diff", "--over", "0", &path(name)])
            .output()?;
        let said = [output.stdout, output.stderr].concat();
        Ok((output.status.code(), String::from_utf8(said)?))
    };
    let (code, said) = diff("base.toml")?;
    ensure!(code == Some(0), "the same policy: {code:?} {said}");
    // A reload keeps what was added at run time, so it is no difference.
    let words = [
        "exception",
        "add",
        "rt-1",
        "--from",
        "198.51.100.9",
        "--to",
        "base-tenant",
        "--owner",
        "noc",
        "--reason",
        "test",
    ];
    let added = geofence(&edge)?.args(words).output()?;
    ensure!(added.status.success(), "{added:?}");
    let (code, said) = diff("base.toml")?;
    ensure!(code == Some(0), "with a runtime exception: {code:?} {said}");

    let mut silent = Vec::new();
    for variant in variants {
        std::fs::write(path("new.toml"), &variant.text)?;
        let (code, said) = diff("new.toml")?;
        let (table, named) = match (variant.table, variant.key) {
            // The command line of every command here names the instance, as that of the daemon does.
            (None, "instance") => {
                ensure!(code == Some(0), "{said}");
                continue;
            }
            (None, "block" | "allow-only") => ("countries", ""),
            (None, key) => (key, ""),
            (Some(table), "name" | "id")
            | (Some(table @ "geo-override"), "prefix")
            | (Some(table @ "geoip-source"), "file") => (table, "added: "),
            (Some(table), key) => (table, key),
        };
        let mut lines = said.lines();
        let is_named = lines.any(|line| line.starts_with(table) && line.contains(named));
        if code != Some(1) || !is_named {
            silent.push(format!(
                "{:?} {}: {code:?}\n{said}",
                variant.table, variant.key
            ));
        }
    }
    ensure!(silent.is_empty(), "{}", silent.join("\n"));

    // Without a daemon, the image alone is compared, and what it does not hold is named.
    daemon.kill(PATIENCE)?;
    let (code, said) = diff("base.toml")?;
    ensure!(
        code == Some(1) && said.contains("NOT COMPARED") && said.contains("interfaces"),
        "{code:?} {said}"
    );
    let other = std::fs::read_to_string(path("base.toml"))?;
    let other = format!("replies = \"none\"\nrate-limit = 7\n{other}");
    std::fs::write(path("new.toml"), other)?;
    let (_, said) = diff("new.toml")?;
    for key in ["replies", "rate-limit"] {
        ensure!(
            said.lines().any(|line| line.starts_with(key)),
            "no {key} in {said}"
        );
    }
    Ok(())
}
