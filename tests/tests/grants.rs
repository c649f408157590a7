//! Exceptions granted by command to a running daemon: in force, no wider than they say, kept, and on record.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use geofence_tests::edge::PATIENCE;
use geofence_tests::require_root;
use geofence_tests::site::{RUSSIAN, Site};
use geofence_tests::wait::{in_time, poll};
use nix::sys::signal::Signal;
use serde_json::Value;

#[path = "grants/commands.rs"]
mod commands;

use commands::{add, audit, done, exception, is_open, list, one, store};

/// Another address of the country that is blocked.
const OTHER: &str = "5.136.0.77";

/// The machine itself is a tenant, and there is another.
const CONFIG: &str = r#"
block = ["RU"]

[[tenant]]
name = "customer-17"
prefixes = ["192.0.2.0/24"]

[[tenant]]
name = "customer-18"
prefixes = ["198.51.100.0/24"]

[[exception]]
id = "standing"
from = ["KP"]
to = ["customer-18"]
owner = "noc"
reason = "probes"
"#;

#[test]
fn runtime_exception_is_in_force_and_no_wider_than_stated() -> Result<()> {
    require_root!();
    let site = Site::new(CONFIG)?;
    let _daemon = site.run(&[])?;
    site.edge
        .ensure_passes(&[(RUSSIAN, false), (OTHER, false)])?;
    let port = ["--proto", "tcp", "--port", "22", "--expires", "30d"];
    let answer = add(&site, "ticket-4711", RUSSIAN, "customer-17", &port)?;
    ensure!(answer.code == Some(0), "{answer:?}");
    site.edge.ensure_passes(&[(RUSSIAN, true)])?;
    // This source, this destination, this traffic.
    for (source, destination, port, open) in [
        (RUSSIAN, "192.0.2.1", "22", true),
        (RUSSIAN, "192.0.2.1", "21", false),
        (RUSSIAN, "192.0.2.1", "23", false),
        (RUSSIAN, "198.51.100.1", "22", false),
        (RUSSIAN, "203.0.113.1", "22", false),
        ("77.88.8.9", "192.0.2.1", "22", false),
        (OTHER, "192.0.2.1", "22", false),
    ] {
        let found = is_open(&site, source, destination, port)?;
        assert_eq!(found, open, "{source} to {destination}, {port}");
    }
    site.edge.ensure_passes(&[(OTHER, false)])?;
    let asked = [
        "explain",
        "--kernel",
        RUSSIAN,
        "--dst",
        "192.0.2.1",
        "--dport",
        "22",
    ];
    let said = site.edge.ask(&asked)?.stdout;
    ensure!(
        said.contains("exception ticket-4711 (a \"partner\", owner support"),
        "{said}"
    );
    let one = one(&site, "ticket-4711")?;
    assert_eq!(one["state"], "live");
    ensure!(one["hits"].as_u64() > Some(0), "{one}");
    ensure!(one["last_hit"].is_string(), "{one}");

    let removed = done(
        &site,
        &["remove", "ticket-4711", "--reason", "moved", "--json"],
    )?
    .json()?;
    let removed = &removed["exception"];
    // Of one that is gone there are its words, and nothing of how it stands.
    ensure!(removed["owner"] == "support, A. Berg", "{removed}");
    for gone in ["state", "granted", "file", "hits"] {
        ensure!(removed.get(gone).is_none(), "{removed}");
    }
    assert!(!site.edge.passes(RUSSIAN)?, "removed");

    // Everything the file of the configuration has is still in force, and stays its own.
    assert!(is_open(&site, "175.45.176.1", "198.51.100.1", "22")?);
    assert_eq!(list(&site)?.len(), 1);
    Ok(())
}

#[test]
fn runtime_exception_outlives_the_daemon_and_expires_without_it() -> Result<()> {
    require_root!();
    let site = in_time(|seconds| {
        let site = Site::new(CONFIG)?;
        let daemon = site.run(&[])?;
        add(&site, "", OTHER, "any", &[])?;
        let begun = Instant::now();
        let expires = format!("{seconds}s");
        add(
            &site,
            "soon",
            RUSSIAN,
            "192.0.2.1",
            &["--expires", &expires],
        )?;
        let passes = [site.edge.passes(RUSSIAN)?, site.edge.passes(OTHER)?];
        daemon.kill(PATIENCE)?;
        // It is kept in whole seconds, so it may last one less.
        if begun.elapsed() >= Duration::from_secs(seconds - 1) {
            return Ok(None);
        }
        ensure!(
            passes == [true, true],
            "expected both exceptions in force, but {RUSSIAN} and {OTHER} pass: {passes:?}"
        );
        Ok(Some(site))
    })?;
    site.wait_passes(RUSSIAN, false)?;
    site.edge.ensure_passes(&[(OTHER, true)])?;

    // The next daemon knows both, and so does one that has to begin with nothing in the kernel.
    for detached in [false, true] {
        if detached {
            site.edge.detach(&["--all"])?;
        }
        let mut daemon = site.run(&[])?;
        let states: Vec<_> = list(&site)?;
        let states: Vec<_> = states
            .iter()
            .filter_map(|one| Some((one["id"].as_str()?, one["state"].as_str()?)))
            .collect();
        assert_eq!(
            states,
            [("standing", "live"), ("x-1", "live"), ("soon", "lapsed")]
        );
        site.edge
            .ensure_passes(&[(RUSSIAN, false), (OTHER, true)])?;
        if detached {
            // An expired exception comes back with another end.
            done(&site, &["extend", "soon", "--until", "2099-01-01"])?;
            site.edge.ensure_passes(&[(RUSSIAN, true)])?;
        }
        daemon.signal(Signal::SIGKILL)?;
        daemon.wait(PATIENCE)?;
    }
    Ok(())
}

#[test]
fn refused_runtime_exception_changes_nothing_and_says_why() -> Result<()> {
    require_root!();
    let site = Site::new(CONFIG)?;
    let _daemon = site.run(&[])?;
    add(
        &site,
        "ticket-1",
        OTHER,
        "customer-17",
        &["--expires", "5d"],
    )?;
    let kept = std::fs::read_to_string(store(&site))?;
    let add = |id, from, to, more: &[&str]| add(&site, id, from, to, more);
    for (answer, said) in [
        (add("ticket-2", "77.88.8.300", "any", &[])?, "--from:1:1"),
        (
            add("ticket-2", RUSSIAN, "customer-71", &[])?,
            "did you mean \"customer-17\"?",
        ),
        (
            add("ticket-2", RUSSIAN, "any", &["--until", "2020-01-01"])?,
            "2020-01-02T00:00:00Z",
        ),
        (
            add(
                "ticket-2",
                RUSSIAN,
                "any",
                &["--proto", "icmp", "--port", "8"],
            )?,
            "--proto and --port",
        ),
        (
            add("ticket-1", RUSSIAN, "any", &[])?,
            "ticket-1 exists already",
        ),
        (
            add("standing", RUSSIAN, "any", &[])?,
            "geofence.toml: choose another name",
        ),
        (
            exception(&site, &["remove", "standing"])?,
            "geofence.toml, which no command changes",
        ),
        (
            exception(&site, &["extend", "standing", "--expires", "1d"])?,
            "geofence.toml, which no command",
        ),
        (
            exception(&site, &["remove", "ticket-7"])?,
            "did you mean ticket-1?",
        ),
        (
            exception(&site, &["show", "nothing"])?,
            "`geofence exception list` shows them all",
        ),
    ] {
        ensure!(
            answer.code == Some(1) && answer.stderr.contains(said),
            "{said}: {answer:?}"
        );
    }
    for (words, said) in [
        (
            &[
                "add", "a", "--from", RUSSIAN, "--to", "any", "--reason", "why",
            ][..],
            "--owner",
        ),
        (
            &[
                "add", "a", "--from", RUSSIAN, "--owner", "o", "--reason", "why",
            ],
            "--to",
        ),
        (&["extend", "ticket-1"], "say until when"),
    ] {
        let answer = exception(&site, words)?;
        ensure!(
            answer.code == Some(2) && answer.stderr.contains(said),
            "{said}: {answer:?}"
        );
    }
    // While another policy is on trial, nothing else is put in place.
    let config = site.path("geofence.toml");
    let trial = [
        "apply",
        "--confirm-within",
        "10m",
        config.to_str().context("a path")?,
    ];
    assert_eq!(site.edge.ask(&trial)?.code, Some(0));
    let answer = exception(&site, &["remove", "ticket-1", "--json"])?;
    assert_eq!(answer.json()?["cause"], "trial");
    assert_eq!(site.edge.ask(&["revert"])?.code, Some(0));

    site.edge
        .ensure_passes(&[(RUSSIAN, false), (OTHER, true)])?;
    assert_eq!(std::fs::read_to_string(store(&site))?, kept);
    let states: Vec<_> = audit(&site)?;
    let refused = states.iter().filter(|one| one["result"] == "refused");
    assert_eq!(refused.count(), 10, "{states:?}");
    Ok(())
}

#[test]
fn every_runtime_exception_is_in_the_audit_log_and_the_status() -> Result<()> {
    require_root!();
    let site = Site::new(CONFIG)?;
    let mut daemon = site.run(&[])?;
    add(&site, "t-1", RUSSIAN, "customer-17", &["--expires", "2d"])?;
    let status = || -> Result<Value> {
        Ok(site.edge.ask(&["status", "--json"])?.json()?["exceptions"].take())
    };
    let short = status()?;
    assert_eq!(
        (&short["live"], &short["lapsing"][0]["id"]),
        (&2.into(), &"t-1".into())
    );
    let said = site.edge.ask(&["status"])?.stdout;
    ensure!(
        said.contains("exceptions 2 in force") && said.contains("t-1 on 2"),
        "{said}"
    );
    done(&site, &["extend", "t-1", "--expires", "30d"])?;
    assert_eq!(status()?["lapsing"], serde_json::json!([]));
    done(&site, &["remove", "t-1", "--reason", "their uplink works"])?;

    let audit = audit(&site)?;
    let recorded: Vec<_> = audit
        .iter()
        .filter_map(|one| Some((one["verb"].as_str()?, one["result"].as_str()?)))
        .collect();
    let done = ["exception add", "exception extend", "exception remove"].map(|verb| (verb, "done"));
    assert_eq!(recorded, done);
    for line in &audit {
        assert_eq!(
            (&line["uid"], &line["user"]),
            (&0.into(), &"root".into()),
            "{line}"
        );
        ensure!(line["pid"].is_u64() && line["time"].is_string(), "{line}");
        assert_eq!(line["exception"]["from"][0], RUSSIAN, "{line}");
        assert_eq!(line["owner"], "support, A. Berg", "{line}");
    }
    assert_eq!(audit[0]["reason"], "a \"partner\"");
    assert_eq!(audit[2]["reason"], "their uplink works");
    daemon.wait_line("exception remove t-1: done for root", PATIENCE)?;
    for name in ["audit.jsonl", "exceptions.toml"] {
        use std::os::unix::fs::PermissionsExt as _;
        let facts = std::fs::metadata(site.edge.state().join(name))?;
        assert_eq!(facts.permissions().mode() & 0o777, 0o600, "{name}");
    }
    Ok(())
}

#[test]
fn broken_exceptions_file_is_named_and_a_removed_tenant_stops_nothing() -> Result<()> {
    require_root!();
    let site = Site::new(CONFIG)?;
    let mut daemon = site.run(&[])?;
    add(&site, "t-1", RUSSIAN, "customer-17", &[])?;
    let kept = std::fs::read_to_string(store(&site))?;

    // The tenant goes, and comes back.
    site.configure("block = [\"RU\"]\n")?;
    assert_eq!(site.edge.ask(&["reload"])?.code, Some(0));
    site.edge.ensure_passes(&[(RUSSIAN, false)])?;
    let one = one(&site, "t-1")?;
    assert_eq!(one["state"], "idle", "{one}");
    let said = site.edge.ask(&["status"])?.stdout;
    ensure!(
        said.contains("t-1 is not in force: the tenant customer-17 no longer exists"),
        "{said}"
    );
    // An idle exception does not prevent others.
    done(
        &site,
        &["remove", add(&site, "", OTHER, "any", &[]).map(|_| "x-1")?],
    )?;
    site.configure(CONFIG)?;
    assert_eq!(site.edge.ask(&["reload"])?.code, Some(0));
    site.edge.ensure_passes(&[(RUSSIAN, true)])?;

    // A file that cannot be read stops every change, and what filters stays.
    std::fs::write(store(&site), format!("{kept}\n[[exception]]\nid = 7\n"))?;
    let line = kept.lines().count() + 3;
    let place = format!("exceptions.toml:{line}");
    for answer in [
        add(&site, "t-2", OTHER, "any", &[])?,
        site.edge.ask(&["reload"])?,
    ] {
        ensure!(
            answer.code == Some(1) && answer.stderr.contains(&place),
            "{place}: {answer:?}"
        );
    }
    site.edge.ensure_passes(&[(RUSSIAN, true)])?;
    // A start filters without them, and says so, until the file is repaired.
    daemon.signal(Signal::SIGTERM)?;
    daemon.wait(PATIENCE)?;
    let mut daemon = site.run(&[])?;
    daemon.wait_line("STARTING WITHOUT RUNTIME EXCEPTIONS", PATIENCE)?;
    let status = site.edge.ask(&["status"])?;
    ensure!(
        status.code == Some(1) && status.stdout.contains(&place),
        "{status:?}"
    );
    site.edge.ensure_passes(&[(RUSSIAN, false)])?;
    std::fs::write(store(&site), &kept)?;
    assert_eq!(site.edge.ask(&["reload"])?.code, Some(0));
    site.edge.ensure_passes(&[(RUSSIAN, true)])?;
    assert_eq!(site.edge.ask(&["status"])?.code, Some(0));
    Ok(())
}

#[test]
fn listing_many_exceptions_keeps_no_memory() -> Result<()> {
    require_root!();
    const COUNT: usize = 20_000;
    /// What the C library may keep besides. All of them at once, as JSON takes them apart, are seven times as much.
    const KEPT_MAX: u64 = 16 << 20;
    let exceptions = (0..COUNT).map(|number| {
        let from = Ipv4Addr::from_bits(0x0588_0000 + number as u32);
        format!(
            "[[exception]]\nid = \"ticket-{number}\"\nfrom = [\"{from}\"]\nto = [\"192.0.2.0/24\"]\nowner = \"noc\"\n\
             reason = \"branch office\"\n"
        )
    });
    let site = Site::new(&exceptions.collect::<String>())?;
    let daemon = site.run(&[])?;
    // The first command takes what every command takes.
    done(&site, &["show", "ticket-1"])?;
    let before = daemon.resident()?;
    let all = list(&site)?;
    ensure!(all.len() == COUNT, "{} are listed", all.len());
    ensure!(
        all[7]["id"] == "ticket-7" && all[7]["hits"] == 0,
        "{}",
        all[7]
    );
    let table = done(&site, &["list"])?.stdout;
    ensure!(
        table.contains("ticket-19999"),
        "the last is not in the table"
    );
    let kept = || -> Result<bool> { Ok(daemon.resident()?.saturating_sub(before) < KEPT_MAX) };
    // What the answer took is given back when it has been read, which the reader does not wait for.
    let given_back = poll(PATIENCE, || Ok(kept()?.then_some(())))?;
    ensure!(
        given_back.is_some(),
        "{before} bytes before and {} after",
        daemon.resident()?
    );
    Ok(())
}
