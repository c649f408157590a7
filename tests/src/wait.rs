//! Waiting for a condition, with a deadline: the only place in the harness that sleeps.
//!
//! A pause here is the interval between two looks at a condition, never a guess at how long something takes.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Short enough that a test does not notice it, long enough to leave the core to the program waited for.
const INTERVAL: Duration = Duration::from_millis(5);

/// Looks until `look` finds something; `None` when `patience` ran out first.
pub fn poll<T>(
    patience: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<Option<T>> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look()? {
            return Ok(Some(found));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        thread::sleep(INTERVAL);
    }
}

/// Has a test look at something that lasts only for a time, for longer times until it was quick enough.
///
/// `attempt` gets a time in seconds, and answers with nothing if it was over before the test had looked, which says
/// nothing of the program under test. The last time is long enough for every machine.
pub fn in_time<T>(mut attempt: impl FnMut(u64) -> Result<Option<T>>) -> Result<T> {
    const SECONDS: [u64; 3] = [3, 9, 27];
    for seconds in SECONDS {
        if let Some(found) = attempt(seconds)? {
            return Ok(found);
        }
    }
    bail!("this machine is too busy: {SECONDS:?} seconds were over before the test had looked")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn poll_repeats_until_something_is_found() {
        let mut looks = 0;
        let found = poll(Duration::from_secs(10), || {
            looks += 1;
            Ok((looks == 3).then_some(looks))
        });
        assert_eq!(found.unwrap(), Some(3));
    }

    #[test]
    fn poll_looks_once_and_gives_up_after_its_patience() {
        let mut looks = 0;
        let found: Option<()> = poll(Duration::ZERO, || {
            looks += 1;
            Ok(None)
        })
        .unwrap();
        assert_eq!((found, looks), (None, 1));
    }
}
