//! `geofence ban`: a source is dropped at once and for a time, whatever else would let it in.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use geofence_tests::edge::{Edge, PATIENCE};
use geofence_tests::require_root;
use geofence_tests::site::{GERMAN, Site};
use geofence_tests::wait::poll;
use serde_json::{Value, json};

const NEIGHBOUR: &str = "84.200.69.81";

fn ban(edge: &Edge, source: &str, expires: &str) -> Result<()> {
    let words = ["ban", source, "--expires", expires, "--reason", "guesses"];
    let answer = edge.ask(&words)?;
    let expected = format!("banned: {source}, until ");
    ensure!(
        answer.code == Some(0) && answer.stdout.starts_with(&expected),
        "{answer:?}"
    );
    Ok(())
}

/// Gives the machine a gateway, which no ban may lock out.
fn add_gateway(edge: &Edge) -> Result<()> {
    let words = ["ip", "route", "add", "default", "via", "192.0.2.2"];
    edge.pair.edge.run(&words).map(drop)
}

/// The sources of all bans.
fn banned(edge: &Edge) -> Result<Vec<String>> {
    let said = edge.ask(&["bans", "--json"])?.json()?;
    let bans = said["exceptions"].as_array().cloned().unwrap_or_default();
    let sources = bans.iter().filter_map(|one| one["from"][0].as_str());
    Ok(sources.map(str::to_owned).collect())
}

#[test]
fn banned_source_is_dropped_whatever_lets_it_in_until_it_is_unbanned() -> Result<()> {
    require_root!();
    let site = Site::new(&format!("allow = [\"{GERMAN}\"]\n"))?;
    let edge = &site.edge;
    let daemon = site.run(&[])?;
    let words = [
        "--from", GERMAN, "--to", "any", "--owner", "a", "--reason", "b",
    ];
    let answer = edge.ask(&[&["exception", "add", "x"][..], &words].concat())?;
    ensure!(answer.code == Some(0), "{answer:?}");
    edge.ensure_passes(&[(GERMAN, true)])?;
    ban(edge, GERMAN, "1h")?;
    edge.ensure_passes(&[(GERMAN, false), (NEIGHBOUR, true)])?;
    ensure!(banned(edge)? == [GERMAN]);
    ensure!(edge.metric("geofence_bans")? == 1.0);
    let series = format!("geofence_exception_packets_total{{kind=\"ban\",name=\"ban-{GERMAN}\"}}");
    ensure!(edge.metric(&series)? == 1.0, "the ban counts what it drops");
    let said = edge.ask(&["explain", "--kernel", GERMAN])?.stdout;
    ensure!(
        said.contains("drop: banned") && said.contains("the ban ban-84.200.69.80 (guesses, owner"),
        "{said}"
    );
    // A ban is no exception.
    let said = edge.ask(&["exception", "list", "--json"])?.stdout;
    ensure!(said.contains("\"x\"") && !said.contains("ban-"), "{said}");
    // It outlives the daemon, and the later time holds.
    daemon.kill(PATIENCE)?;
    edge.ensure_passes(&[(GERMAN, false)])?;
    let daemon = site.run(&[])?;
    edge.ensure_passes(&[(GERMAN, false)])?;
    let answer = edge.ask(&["ban", GERMAN, "--until", "2099-01-01"])?;
    ensure!(answer.stdout.contains("until 2099-01-02T"), "{answer:?}");
    ensure!(banned(edge)? == [GERMAN]);
    let answer = edge.ask(&["unban", GERMAN])?;
    ensure!(answer.code == Some(0), "{answer:?}");
    edge.ensure_passes(&[(GERMAN, true)])?;
    let answer = edge.ask(&["unban", GERMAN])?;
    ensure!(
        answer.code == Some(1) && answer.stderr.contains("`geofence bans` shows all bans"),
        "{answer:?}"
    );
    let audit = fs::read_to_string(edge.state().join("audit.jsonl"))?;
    ensure!(audit.matches("\"verb\":\"ban\"").count() == 2, "{audit}");
    daemon.interrupt(PATIENCE)?;
    Ok(())
}

#[test]
fn ban_ends_without_a_daemon_and_is_forgotten_with_the_next_one() -> Result<()> {
    require_root!();
    let site = Site::new("")?;
    let edge = &site.edge;
    let daemon = site.run(&[])?;
    // Long enough for a busy machine to see it hold; the daemon is gone when it ends.
    ban(edge, "84.200.69.0/24", "15s")?;
    edge.ensure_passes(&[(NEIGHBOUR, false)])?;
    daemon.kill(PATIENCE)?;
    let passes = poll(PATIENCE, || Ok(edge.passes(GERMAN)?.then_some(())))?;
    ensure!(passes.is_some(), "the ban has no end");
    let daemon = site.run(&[])?;
    edge.ensure_passes(&[(GERMAN, true)])?;
    ban(edge, NEIGHBOUR, "1h")?;
    ensure!(banned(edge)? == [NEIGHBOUR]);
    let file = fs::read_to_string(edge.state().join("exceptions.toml"))?;
    ensure!(!file.contains("84.200.69.0/24"), "{file}");
    daemon.interrupt(PATIENCE)?;
    Ok(())
}

#[test]
fn ban_that_locks_out_a_gateway_is_refused_unless_it_is_forced() -> Result<()> {
    require_root!();
    let site = Site::new("")?;
    let edge = &site.edge;
    let daemon = site.run(&[])?;
    add_gateway(edge)?;
    let answer = edge.ask(&["ban", "192.0.2.2"])?;
    ensure!(
        answer.code == Some(1) && answer.stderr.contains("192.0.2.2"),
        "{answer:?}"
    );
    ensure!(banned(edge)?.is_empty());
    // By such a name `unban` would take an exception for a ban.
    let words = [
        "exception",
        "add",
        "ban-9.9.9.9",
        "--from",
        "9.9.9.9",
        "--to",
        "any",
    ];
    let answer = edge.ask(&[&words[..], &["--owner", "a", "--reason", "b"]].concat())?;
    ensure!(
        answer.code == Some(1) && answer.stderr.contains("is the name of a ban"),
        "{answer:?}"
    );
    let answer = edge.ask(&["ban", "192.0.2.2", "--force"])?;
    ensure!(answer.code == Some(0), "{answer:?}");
    ensure!(banned(edge)? == ["192.0.2.2"]);
    daemon.interrupt(PATIENCE)?;
    Ok(())
}

/// Bans of these sources, as one request.
fn bans_together<'a>(sources: impl Iterator<Item = &'a str>, more: &[Value]) -> String {
    let until = "2099-01-01T00:00:00Z";
    let ban = |source: &str| {
        json!({ "ban": { "ban": {
            "id": format!("ban-{source}"), "from": [source], "to": ["any"], "owner": "a", "reason": "b", "until": until,
            "action": "drop",
        } } })
    };
    let mut changes: Vec<Value> = sources.map(ban).collect();
    changes.splice(changes.len() / 2..changes.len() / 2, more.to_vec());
    json!({ "version": 1, "command": "changes", "changes": changes }).to_string()
}

#[test]
fn changes_that_come_together_take_few_images_and_the_refused_stop_no_other() -> Result<()> {
    require_root!();
    let site = Site::new("")?;
    let edge = &site.edge;
    let daemon = site.run(&[])?;
    add_gateway(edge)?;
    let generation = || -> Result<u64> {
        let status = edge.ask(&["status", "--json"])?.json()?;
        status["generation"].as_u64().context("no generation")
    };
    let ask = |request: &str| -> Result<Value> {
        Ok(serde_json::from_str(&edge.request(request, PATIENCE)?)?)
    };
    let before = generation()?;
    for count in [0, 101] {
        let answer = ask(&bans_together(vec![NEIGHBOUR; count].into_iter(), &[]))?;
        let error = answer["error"].as_str().unwrap_or_default();
        ensure!(error.contains("1 to 100 changes"), "{answer}");
    }
    let many: Vec<String> = (40..100).map(|last| format!("84.200.69.{last}")).collect();
    let answer = ask(&bans_together(many.iter().map(String::as_str), &[]))?;
    ensure!(
        answer["result"] == json!({ "generation": before + 1, "refused": [] }),
        "{answer}"
    );
    ensure!(generation()? == before + 1 && banned(edge)? == many);
    edge.ensure_passes(&[(GERMAN, false), (NEIGHBOUR, false), ("84.200.69.100", true)])?;
    // One would lock the gateway out, and one is about no exception.
    let sources = ["84.200.70.1", "84.200.70.2", "192.0.2.2", "84.200.70.3"];
    let remove = json!({ "remove": { "id": "fleet-none" } });
    let answer = ask(&bans_together(sources.into_iter(), &[remove]))?;
    let refused = answer["result"]["refused"].as_array().cloned();
    let refused = refused.with_context(|| answer.to_string())?;
    let refused: Vec<_> = refused
        .iter()
        .map(|one| (&one["id"], &one["cause"]))
        .collect();
    ensure!(
        refused
            == [
                (&json!("fleet-none"), &json!("request")),
                (&json!("ban-192.0.2.2"), &json!("access"))
            ],
        "{answer}"
    );
    ensure!(
        answer["result"]["generation"] == generation()? && generation()? <= before + 4,
        "{answer}"
    );
    edge.ensure_passes(&[("84.200.70.1", false), ("84.200.70.3", false)])?;
    let audit = || fs::read_to_string(edge.state().join("audit.jsonl"));
    let count = |result: &str| -> Result<usize> {
        let text = audit()?;
        Ok(text.matches(&format!("\"result\":\"{result}\"")).count())
    };
    ensure!(
        count("done")? == 63 && count("refused")? == 2,
        "{}",
        audit()?
    );
    // Who asks again and again during a trial fills no log.
    let answer = edge.ask(&["apply", "--confirm-within", "60s"])?;
    ensure!(answer.code == Some(0), "{answer:?}");
    let answer = ask(&bans_together(["84.200.71.1"].into_iter(), &[]))?;
    ensure!(answer["cause"] == "trial", "{answer}");
    ensure!(
        count("done")? == 63 && count("refused")? == 2,
        "{}",
        audit()?
    );
    daemon.interrupt(PATIENCE)?;
    Ok(())
}
