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

/// Does something again until it took less than `limit`. Other programs delay it now and then; a fault delays it every
/// time.
pub fn soon<T>(limit: Duration, mut work: impl FnMut() -> Result<T>) -> Result<T> {
    const ATTEMPTS: usize = 8;
    let mut times = Vec::new();
    while times.len() < ATTEMPTS {
        let begun = Instant::now();
        let done = work()?;
        let took = begun.elapsed();
        if took < limit {
            return Ok(done);
        }
        times.push(took);
    }
    bail!("expected that it takes less than {limit:?} once, but it took {times:?}")
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
    fn soon_repeats_until_it_was_quick_and_not_for_ever() {
        let mut times = 0;
        let slow = soon(Duration::ZERO, || {
            times += 1;
            Ok(())
        });
        assert!(slow.is_err() && times == 8, "{slow:?}, {times}");
        assert_eq!(soon(Duration::MAX, || Ok(1)).unwrap(), 1);
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
