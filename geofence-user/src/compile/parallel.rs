//! Two computations at the same time.

use std::thread;

use super::prefix::Family;

/// Does two things at the same time.
pub(super) fn at_once<A: Send, B>(one: impl Fn() -> A + Sync, other: impl FnOnce() -> B) -> (A, B) {
    thread::scope(|scope| {
        // Borrowed, because this thread does both if no other can be started.
        let helper = thread::Builder::new().spawn_scoped(scope, &one);
        let other = other();
        let one = match helper {
            Ok(helper) => helper
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(_) => one(),
        };
        (one, other)
    })
}

/// Does the same for both families at the same time.
pub(super) fn for_both<T: Send>(what: impl Fn(Family) -> T + Sync) -> [T; 2] {
    at_once(|| what(Family::V4), || what(Family::V6)).into()
}
