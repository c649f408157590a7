//! Waiting for a condition, with a deadline: the only place in the harness that sleeps.
//!
//! A pause here is the interval between two looks at a condition, never a guess at how long something takes.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn poll_looks_again_until_something_is_there() {
        let mut looks = 0;
        let found = poll(Duration::from_secs(10), || {
            looks += 1;
            Ok((looks == 3).then_some(looks))
        });
        assert_eq!(found.unwrap(), Some(3));
    }

    #[test]
    fn poll_gives_up_after_its_patience_but_looks_once() {
        let mut looks = 0;
        let found: Option<()> = poll(Duration::ZERO, || {
            looks += 1;
            Ok(None)
        })
        .unwrap();
        assert_eq!((found, looks), (None, 1));
    }
}
