//! A bound on the connections that are open at once.
//!
//! When all slots are in use, the longest-idle connection is closed, so clients that connect and stay silent cannot
//! keep others out.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::AbortHandle;

/// The open connections.
#[derive(Debug)]
pub struct ConnectionLimit {
    max: usize,
    /// In order of arrival.
    open: VecDeque<(AbortHandle, Busy)>,
}

/// Whether a request is being answered; such a connection is not closed.
#[derive(Clone, Debug, Default)]
pub struct Busy(Arc<AtomicBool>);

impl Busy {
    pub fn set(&self, is_busy: bool) {
        self.0.store(is_busy, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl ConnectionLimit {
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self {
            max,
            open: VecDeque::with_capacity(max),
        }
    }

    /// Serves a new connection. If all slots are in use, closes the longest-idle connection for it; if none is idle,
    /// closes the new one.
    pub fn admit<F: Future<Output = ()> + Send + 'static>(
        &mut self,
        serve: impl FnOnce(Busy) -> F,
    ) {
        self.open.retain(|(task, _)| !task.is_finished());
        if self.open.len() >= self.max {
            let Some(at) = self.open.iter().position(|(_, busy)| !busy.is_set()) else {
                return;
            };
            if let Some((idle, _)) = self.open.remove(at) {
                idle.abort();
            }
        }
        let busy = Busy::default();
        let task = tokio::spawn(serve(busy.clone()));
        self.open.push_back((task.abort_handle(), busy));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_idle_connection_is_closed_for_a_new_one() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut connections = ConnectionLimit::new(2);
            let mut came = Vec::new();
            for is_busy in [true, false, false, true, false] {
                let (alive, gone) = tokio::sync::oneshot::channel::<()>();
                connections.admit(|busy| async move {
                    busy.set(is_busy);
                    let _alive = alive;
                    std::future::pending().await
                });
                tokio::task::yield_now().await;
                came.push(gone);
            }
            tokio::task::yield_now().await;
            let is_there = |gone: &mut tokio::sync::oneshot::Receiver<()>| {
                gone.try_recv() == Err(tokio::sync::oneshot::error::TryRecvError::Empty)
            };
            let there: Vec<_> = came.iter_mut().map(is_there).collect();
            // The fifth found only connections with a request.
            assert_eq!(there, [true, false, false, true, false]);
        });
    }
}
