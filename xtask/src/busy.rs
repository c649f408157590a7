//! Other work on every core while tests run, as on a machine that has more to do.

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

/// Threads that use a core each, until it is dropped.
pub(crate) struct Busy {
    done: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Busy {
    /// One thread for each core that this process may use.
    pub(crate) fn every_core() -> Self {
        Self::start(thread::available_parallelism().map_or(1, NonZero::get))
    }

    fn start(cores: usize) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let one = |_| {
            let done = Arc::clone(&done);
            thread::spawn(move || while !done.load(Ordering::Relaxed) {})
        };
        let threads = (0..cores).map(one).collect();
        Self { done, threads }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A loop that does nothing does not panic.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_work_until_they_are_dropped() {
        let busy = Busy::start(3);
        assert_eq!(busy.threads.len(), 3);
        assert!(busy.threads.iter().all(|thread| !thread.is_finished()));
        let done = Arc::clone(&busy.done);
        drop(busy);
        // No thread holds the flag: all of them have ended.
        assert_eq!(Arc::strong_count(&done), 1);
    }
}
