//! The commands about runtime exceptions, and the files that they leave.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use geofence_tests::edge::Answer;
use geofence_tests::site::Site;
use serde_json::Value;

/// Asks for `geofence exception` with these words.
pub(super) fn exception(site: &Site, words: &[&str]) -> Result<Answer> {
    site.edge.ask(&[&["exception"], words].concat())
}

/// Grants an exception, whose last words say what.
pub(super) fn add(site: &Site, id: &str, from: &str, to: &str, more: &[&str]) -> Result<Answer> {
    let words = [
        "add",
        id,
        "--from",
        from,
        "--to",
        to,
        "--owner",
        "support, A. Berg",
    ];
    exception(
        site,
        &[&words[..], &["--reason", "a \"partner\""], more].concat(),
    )
}

pub(super) fn done(site: &Site, words: &[&str]) -> Result<Answer> {
    let answer = exception(site, words)?;
    ensure!(answer.code == Some(0), "{words:?}: {answer:?}");
    Ok(answer)
}

/// Whether the kernel lets a packet to this port and destination in.
pub(super) fn is_open(site: &Site, source: &str, destination: &str, port: &str) -> Result<bool> {
    let words = [
        "explain",
        "--kernel",
        source,
        "--dst",
        destination,
        "--dport",
        port,
    ];
    let answer = site.edge.ask(&words)?;
    match answer.code {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        _ => anyhow::bail!("{answer:?}"),
    }
}

pub(super) fn list(site: &Site) -> Result<Vec<Value>> {
    let object = done(site, &["list", "--json"])?.json()?;
    Ok(object["exceptions"].as_array().context("a list")?.clone())
}

pub(super) fn one(site: &Site, id: &str) -> Result<Value> {
    done(site, &["show", id, "--json"])?.json()
}

pub(super) fn audit(site: &Site) -> Result<Vec<Value>> {
    let text = std::fs::read_to_string(site.edge.state().join("audit.jsonl"))?;
    let lines = text.lines();
    lines.map(|line| Ok(serde_json::from_str(line)?)).collect()
}

pub(super) fn store(site: &Site) -> PathBuf {
    site.edge.state().join("exceptions.toml")
}
