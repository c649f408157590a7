//! A reboot: what was granted before holds afterwards, and the filter is there before the link is up.

use anyhow::{Context as _, Result, ensure};

use super::disk;
use super::rows::row;
use super::verdicts::{BLOCKED, JUDGED, OPEN, before_link, verdict_on};
use crate::edge::{Edge, PATIENCE};
use crate::lab::report::Row;
use crate::link::Link;

/// Another address of the blocked country, which gets an exception.
const EXCEPTED: &str = "5.136.0.77";

/// The rows of the first boot: starts, grants an exception, and keeps the state directory.
pub(super) fn before() -> Vec<Row> {
    let look = || -> Result<String> {
        let edge = Edge::on(&Link::default())?;
        let daemon = edge.run(&[])?;
        let words = [
            "exception",
            "add",
            "kept",
            "--from",
            EXCEPTED,
            "--to",
            "any",
            "--owner",
            "lab",
            "--reason",
            "reboot",
            "--expires",
            "1h",
        ];
        let answer = edge.ask(&words)?;
        ensure!(answer.code == Some(0), "{answer:?}");
        daemon.kill(PATIENCE)?;
        let count = disk::save(&edge.state())?;
        Ok(format!("kept {count} files"))
    };
    vec![row(
        "exception granted, then the power fails".to_owned(),
        "kept",
        look,
    )]
}

/// The rows of the second boot.
pub(super) fn after(files: &[(String, Vec<u8>)]) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut site = None;
    rows.push(row(
        "after the reboot: start before the link is up".to_owned(),
        "native",
        || {
            let edge = Edge::on(&Link::default())?;
            disk::restore(files, &edge.state())?;
            let (daemon, mode) = before_link(&edge, &[])?;
            site = Some((edge, daemon));
            Ok(mode)
        },
    ));
    rows.push(row("after the reboot: frames".to_owned(), JUDGED, || {
        let (edge, _) = site.as_ref().context("no start")?;
        Ok(format!(
            "RU {}, DE {}",
            verdict_on(edge, BLOCKED)?,
            verdict_on(edge, OPEN)?
        ))
    }));
    rows.push(row(
        "after the reboot: the excepted source".to_owned(),
        "passed",
        || {
            let (edge, _) = site.as_ref().context("no start")?;
            verdict_on(edge, EXCEPTED).map(str::to_owned)
        },
    ));
    rows
}
