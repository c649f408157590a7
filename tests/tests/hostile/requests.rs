//! Requests that are out of bounds, or too many: the daemon refuses them itself, past the checks of the client.

use std::fs::File;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use geofence_tests::edge::PATIENCE;
use geofence_tests::memory_limit::MemoryLimit;
use geofence_tests::require_root;
use geofence_tests::site::Site;
use geofence_tests::wait::{poll, soon};
use nix::fcntl::{Flock, FlockArg};

use super::{CONFIGURATION, REFUSED_WITHIN, ensure_alive};

fn begin(site: &Site, request: &str) -> Result<UnixStream> {
    site.edge.begin_request(request, PATIENCE)
}

fn say(site: &Site, request: &str) -> Result<String> {
    soon(REFUSED_WITHIN, || site.edge.request(request, PATIENCE))
}

#[test]
fn trial_of_a_time_out_of_bounds_is_refused_by_the_daemon() -> Result<()> {
    require_root!();
    let Some(limit) = MemoryLimit::for_test() else {
        return Ok(());
    };
    let site = Site::new(CONFIGURATION)?;
    let _daemon = site.run_within(&limit)?;
    for seconds in ["0", "3601", "18446744073709551615"] {
        let request =
            format!("{{\"version\":1,\"command\":\"apply\",\"file\":null,\"seconds\":{seconds}}}");
        let answer = say(&site, &request)?;
        ensure!(answer.contains("from 1s to 1h"), "{seconds}: {answer}");
    }
    ensure_alive(&site)
}

#[test]
fn capture_and_line_out_of_bounds_are_refused_by_the_daemon() -> Result<()> {
    require_root!();
    let Some(limit) = MemoryLimit::for_test() else {
        return Ok(());
    };
    let site = Site::new(CONFIGURATION)?;
    let _daemon = site.run_within(&limit)?;
    const MANY: &str = "18446744073709551615";
    let all = [
        ("count", "10"),
        ("seconds", "10"),
        ("rate", "10"),
        ("snap", "100"),
    ];
    for (key, value) in [
        ("count", "0"),
        ("seconds", "0"),
        ("seconds", "86401"),
        ("seconds", MANY),
        ("rate", "0"),
        ("rate", "100001"),
        ("snap", "0"),
        ("snap", "65536"),
    ] {
        let fields = all.map(|(name, good)| {
            let value = if name == key { value } else { good };
            format!(",\"{name}\":{value}")
        });
        let fields = fields.concat();
        let request =
            format!("{{\"version\":1,\"command\":\"capture\",\"conditions\":{{}}{fields}}}");
        let answer = say(&site, &request)?;
        ensure!(
            answer.contains("from 1 to 86400 seconds"),
            "{request}: {answer}"
        );
    }
    for (length, said) in [
        (1, "the request is not JSON"),
        (65 << 10, "has at most 65536 bytes"),
    ] {
        let answer = say(&site, &"x".repeat(length))?;
        ensure!(answer.contains(said), "{length}: {answer}");
    }
    // A number past what the field holds is no request.
    for request in [
        "{\"version\":1,\"command\":\"capture\",\"rate\":4294967296}",
        "{\"version\":1,\"command\":\"apply\",\"seconds\":18446744073709551616}",
        "{\"version\":1,\"command\":\"reload\",\"needed\":7}",
    ] {
        let answer = say(&site, request)?;
        ensure!(answer.contains("unknown request"), "{request}: {answer}");
    }
    ensure_alive(&site)
}

#[test]
fn many_waiting_followers_leave_the_control_socket_to_commands() -> Result<()> {
    require_root!();
    let Some(limit) = MemoryLimit::for_test() else {
        return Ok(());
    };
    let site = Site::new(CONFIGURATION)?;
    let _daemon = site.run_within(&limit)?;
    let mut followers = Vec::new();
    for _ in 0..80 {
        // One past the limit is closed.
        followers.extend(begin(&site, r#"{"version":1,"command":"events","wait":true}"#).ok());
    }
    site.done(&["status"]).context("64 followers")?;
    site.done(&["reload"])?;
    site.write("next.toml", "block = [\"DE\"]\n")?;
    site.done(&["apply", "--confirm-within", "60s", &site.word("next.toml")?])?;
    site.done(&["revert"])?;
    ensure_alive(&site)
}

#[test]
fn many_waiting_changes_leave_the_control_socket_to_questions_and_to_the_end_of_a_trial()
-> Result<()> {
    require_root!();
    let Some(limit) = MemoryLimit::for_test() else {
        return Ok(());
    };
    let list = "[[list]]\nname = \"l\"\nformat = \"plain\"\nfile = \"l.txt\"\n";
    let site = Site::new(&format!("{CONFIGURATION}{list}"))?;
    site.write("l.txt", "9.9.9.9\n")?;
    let _daemon = site.run_within(&limit)?;
    // Without the lock of its lists, each reload waits for two seconds.
    let directory = File::open(site.edge.state().join("lists"))?;
    let held = Flock::lock(directory, FlockArg::LockExclusive).map_err(|(_, errno)| errno)?;
    site.write("l.txt", "9.9.9.9\n9.9.9.11\n")?;
    let begun = Instant::now();
    site.edge.ask(&["reload"])?;
    let one = begun.elapsed();
    let reload = r#"{"version":1,"command":"reload"}"#;
    let mut waiting = Vec::new();
    let mut wait = || waiting.extend((0..80).map(|_| begin(&site, reload)));
    wait();
    site.done(&["status"]).context("beside 80 reloads")?;
    ensure!(site.edge.get("/livez")?.status == 200);
    // When the machine is slow, some have ended before this command asks.
    poll(PATIENCE, || {
        let answer = site.edge.ask(&["reload"])?;
        let is_refused = answer.code == Some(1) && answer.stderr.contains("try again when");
        if !is_refused {
            wait();
        }
        Ok(is_refused.then_some(()))
    })?
    .context("a reload is not refused while every place is taken")?;
    // There is no trial, which is said when the changes before it have ended, and not after all of them.
    let begun = Instant::now();
    let answer = site.edge.ask(&["revert"])?;
    ensure!(
        answer.code == Some(1) && answer.stderr.contains("no policy is on trial"),
        "{answer:?}"
    );
    let took = begun.elapsed();
    ensure!(took < 8 * one, "{took:?}, and one reload takes {one:?}");
    drop((held, waiting));
    ensure_alive(&site)
}
