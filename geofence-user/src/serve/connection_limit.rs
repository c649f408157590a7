//! Connections that are open at once, of which there is a bound.
//!
//! Where everybody has a place as long as they like, a few who connect and say nothing leave none for those who ask.
//! Here whoever has been silent longest makes room, so the one who comes last is always heard.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::AbortHandle;

/// Those who are connected.
#[derive(Debug)]
pub struct ConnectionLimit {
    room: usize,
    /// In the order in which they came.
    open: VecDeque<(AbortHandle, Busy)>,
}

/// Whether somebody is being answered, and so is not sent away.
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
    pub fn new(room: usize) -> Self {
        Self {
            room,
            open: VecDeque::with_capacity(room),
        }
    }

    /// Lets somebody in, and sends the one who has been silent longest away if there is no room. Where all are being
    /// answered, whoever comes is let go unheard.
    pub fn admit<F: Future<Output = ()> + Send + 'static>(
        &mut self,
        converse: impl FnOnce(Busy) -> F,
    ) {
        self.open.retain(|(task, _)| !task.is_finished());
        if self.open.len() >= self.room {
            let Some(at) = self.open.iter().position(|(_, busy)| !busy.is_set()) else {
                return;
            };
            if let Some((silent, _)) = self.open.remove(at) {
                silent.abort();
            }
        }
        let busy = Busy::default();
        let task = tokio::spawn(converse(busy.clone()));
        self.open.push_back((task.abort_handle(), busy));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_silent_longest_makes_room_and_who_is_answered_stays() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut crowd = ConnectionLimit::new(2);
            let mut came = Vec::new();
            for is_busy in [true, false, false, true, false] {
                let (alive, gone) = tokio::sync::oneshot::channel::<()>();
                crowd.admit(|busy| async move {
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
            // The fifth found two who were being answered.
            assert_eq!(there, [true, false, false, true, false]);
        });
    }
}
