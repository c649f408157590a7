//! How long to wait before the next try: a random time up to a bound that doubles.
//!
//! Without randomness, nodes that lose the engine together come back together, and overload it
//! (<https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/>).

use std::time::Duration;

/// The first bound and the last.
const FIRST: Duration = Duration::from_secs(1);
const LAST: Duration = Duration::from_secs(30);

/// The tries of one purpose.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    bound: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { bound: FIRST }
    }
}

impl Backoff {
    /// How long to wait now.
    pub fn pause(&mut self) -> Duration {
        let pause = within(self.bound);
        self.bound = (self.bound * 2).min(LAST);
        pause
    }

    /// The last try succeeded.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// The connection was lost. All nodes may have lost it, so the first try is spread as well.
    pub fn spread(&mut self) {
        self.bound = LAST;
    }
}

/// A random time up to a bound.
#[must_use]
pub fn within(bound: Duration) -> Duration {
    bound.mul_f64(rand::random::<f64>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_random_and_their_bound_doubles_up_to_thirty_seconds() {
        let mut longest = [Duration::ZERO; 8];
        for _ in 0..1000 {
            let mut backoff = Backoff::default();
            for longest in &mut longest {
                *longest = backoff.pause().max(*longest);
            }
        }
        let bounds = [1, 2, 4, 8, 16, 30, 30, 30].map(Duration::from_secs);
        for (longest, bound) in longest.into_iter().zip(bounds) {
            assert!(
                longest <= bound && longest > bound / 2,
                "{longest:?} of {bound:?}"
            );
        }
    }
}
