//! Elements of tables that have no memory of their own: the kernel takes each from a small stock, and fills that up
//! behind the caller's back, without waiting for memory (kernel/bpf/memalloc.c). Who puts elements in faster than that
//! is told ENOMEM on a machine with gigabytes free; a moment later there is room.

use std::thread;
use std::time::Duration;

use aya::maps::MapError;

use super::attach::errno;

/// The pauses double from the first on: a second in all.
const PAUSES: u32 = 10;
const FIRST: Duration = Duration::from_millis(1);

/// Puts an element in, again after a pause as long as the kernel has no memory at hand.
pub(super) fn put(mut put: impl FnMut() -> Result<(), MapError>) -> Result<(), MapError> {
    for number in 0..PAUSES {
        match put() {
            Err(error) if errno(&error) == Some(libc::ENOMEM) => {
                thread::sleep(FIRST * 2_u32.pow(number));
            }
            done => return done,
        }
    }
    put()
}

#[cfg(test)]
mod tests {
    use std::io;

    use aya::sys::SyscallError;

    use super::*;

    fn refusal(errno: i32) -> MapError {
        MapError::SyscallError(SyscallError {
            call: "bpf_map_update_elem",
            io_error: io::Error::from_raw_os_error(errno),
        })
    }

    #[test]
    fn want_of_memory_is_waited_out_and_nothing_else_is() {
        let mut refusals = vec![refusal(libc::ENOMEM), refusal(libc::ENOMEM)];
        let healed = put(|| refusals.pop().map_or(Ok(()), Err));
        assert!(healed.is_ok() && refusals.is_empty(), "{healed:?}");

        let mut calls = 0;
        let full = put(|| {
            calls += 1;
            Err(refusal(libc::E2BIG))
        });
        assert!(full.is_err());
        assert_eq!(calls, 1, "a full table stays full");

        let mut calls = 0;
        let starved = put(|| {
            calls += 1;
            Err(refusal(libc::ENOMEM))
        });
        assert_eq!(
            starved.as_ref().err().and_then(|error| errno(error)),
            Some(libc::ENOMEM)
        );
        assert_eq!(calls, 1 + PAUSES);
    }
}
