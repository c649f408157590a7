//! How soon an exception granted by command is in force, with the embedded database.
//!
//! Apart from the rest of what is granted, because it is timed and the tests of a file run beside each other.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use geofence_tests::edge::{Edge, PATIENCE};
use geofence_tests::require_root;
use geofence_tests::wait::poll;

const RUSSIAN: &str = "77.88.8.8";

/// How often it may take longer, for a machine that has other things to do as well.
const ROUNDS_MAX: usize = 30;

/// From the start of the command to the first packet that passes.
const EFFECT_MAX: Duration = Duration::from_millis(500);

#[test]
fn runtime_exception_is_in_force_within_half_a_second() -> Result<()> {
    require_root!();
    let edge = Edge::new()?;
    let daemon = edge.run(&[])?;
    let add = [
        "exception",
        "add",
        "x",
        "--from",
        RUSSIAN,
        "--to",
        "any",
        "--owner",
        "o",
        "--reason",
        "r",
    ];
    let mut quickest = Duration::MAX;
    for round in 0..ROUNDS_MAX {
        edge.ensure_passes(&[(RUSSIAN, false)])?;
        let begun = Instant::now();
        let effect = thread::scope(|scope| -> Result<Duration> {
            let asked = scope.spawn(|| edge.ask(&add));
            poll(PATIENCE, || Ok(edge.passes(RUSSIAN)?.then_some(())))?
                .context("nothing passes")?;
            let effect = begun.elapsed();
            let answer = asked
                .join()
                .map_err(|_| anyhow!("the command panicked"))??;
            ensure!(answer.code == Some(0), "{answer:?}");
            eprintln!(
                "round {round}: in force after {effect:?}, answered after {:?}",
                begun.elapsed()
            );
            Ok(effect)
        })?;
        quickest = quickest.min(effect);
        let removed = edge.ask(&["exception", "remove", "x"])?;
        ensure!(removed.code == Some(0), "{removed:?}");
        if quickest <= EFFECT_MAX {
            break;
        }
    }
    ensure!(
        quickest <= EFFECT_MAX,
        "in force after {quickest:?} at best"
    );
    daemon.interrupt(PATIENCE)?;
    Ok(())
}
