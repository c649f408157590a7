//! A daemon that ends, however it ends, leaves the filter; the next takes over the very links, and soon.
//!
//! Apart from the rest of survival, because it is timed and the tests of a file run beside each other.

use std::time::Duration;

use anyhow::{Result, ensure};
use aya::programs::links::{FdLink, PinnedLink};
use geofence_tests::edge::{Edge, PATIENCE};
use geofence_tests::require_root;
use nix::sys::signal::Signal;

/// For how long a start of a debug build may run on cores, all threads together, until it has taken the filter over.
/// The quickest of some: programs that share a core's caches slow each other down, to 2.6 s beside the other tests.
const ADOPTION_MAX: Duration = Duration::from_secs(4);
/// How many starts are tried until one is quick enough.
const STARTS_MAX: usize = 12;

/// The links that hold the filter, by number: what adoption must not change.
fn links(edge: &Edge) -> Result<Vec<String>> {
    let mut links = Vec::new();
    for entry in std::fs::read_dir(edge.pins().join("links"))? {
        let path = entry?.path();
        let id = FdLink::from(PinnedLink::from_pin(&path)?).info()?.id();
        links.push(format!("{}: {id}", path.display()));
    }
    links.sort();
    Ok(links)
}

#[test]
fn killed_daemon_leaves_the_filter_and_the_next_adopts_it_in_time() -> Result<()> {
    require_root!();
    let edge = Edge::new()?;
    let name = edge.interface();
    let mut daemon = edge.run(&[])?;
    edge.ensure_passes(&[("77.88.8.8", false), ("8.8.8.8", true)])?;
    let (held, mut program) = (links(&edge)?, edge.program(name)?);
    assert_eq!(held.len(), 2, "{held:?}");
    let (mut dropped, mut quickest) = (1.0, Duration::MAX);
    let ends = [(Signal::SIGKILL, None), (Signal::SIGTERM, Some(0))];
    for (number, (signal, code)) in ends.into_iter().cycle().take(STARTS_MAX).enumerate() {
        if number > ends.len() && quickest <= ADOPTION_MAX {
            break;
        }
        daemon.signal(signal)?;
        let ended = daemon.wait(PATIENCE)?;
        assert_eq!(ended.status.code(), code, "{}", ended.stderr);
        edge.ensure_passes(&[("77.88.8.8", false), ("8.8.8.8", true)])?;
        daemon = edge.run(&[])?;
        quickest = quickest.min(daemon.used()?);
        daemon.wait_line("taken over from an earlier geofence", PATIENCE)?;
        assert_eq!(links(&edge)?, held, "the same links");
        let replaced = edge.program(name)?;
        ensure!(replaced.is_some() && replaced != program, "{replaced:?}");
        program = replaced;
        edge.ensure_passes(&[("77.88.8.8", false)])?;
        dropped += 2.0;
        assert_eq!(
            edge.dropped(name)?,
            dropped,
            "counted before, between and after"
        );
    }
    ensure!(
        quickest <= ADOPTION_MAX,
        "expected a start to take over within {ADOPTION_MAX:?} on cores, but the quickest took {quickest:?}"
    );
    let ended = daemon.interrupt(PATIENCE)?;
    assert!(ended.status.success(), "{}", ended.stderr);
    assert_eq!(edge.program(name)?, None);
    assert!(edge.passes("77.88.8.8")?, "Ctrl-C takes the filter along");
    assert!(!edge.pins().exists());
    Ok(())
}

#[test]
fn adoption_replaces_tables_of_another_layout_and_keeps_the_link() -> Result<()> {
    require_root!();
    let edge = Edge::new()?;
    let daemon = edge.run(&[])?;
    edge.ensure_passes(&[("77.88.8.8", false)])?;
    daemon.kill(PATIENCE)?;
    let (held, pins) = (links(&edge)?, edge.pins());
    std::fs::rename(pins.join("tables-1"), pins.join("tables-0"))?;
    let daemon = edge.run(&[])?;
    assert_eq!(links(&edge)?, held);
    edge.ensure_passes(&[("77.88.8.8", false)])?;
    assert_eq!(
        edge.dropped(edge.interface())?,
        2.0,
        "counters are carried over"
    );
    assert!(pins.join("tables-1").exists() && !pins.join("tables-0").exists());
    daemon.interrupt(PATIENCE)?;
    Ok(())
}
