//! Inserts into maps that allocate their elements, with retries.
//!
//! The kernel takes each element from a small reserve and refills it in the background, without waiting for memory
//! (kernel/bpf/memalloc.c). Faster insertions fail with ENOMEM on a machine with gigabytes free, and succeed a moment
//! later.

use std::thread;
use std::time::Duration;

use aya::maps::MapError;

use super::call::errno;

/// Each pause is twice the one before: a second in all.
const PAUSES: u32 = 10;
const FIRST: Duration = Duration::from_millis(1);

/// Calls `insert`, and again after a pause if it fails with ENOMEM.
pub(super) fn insert(mut insert: impl FnMut() -> Result<(), MapError>) -> Result<(), MapError> {
    for number in 0..PAUSES {
        match insert() {
            Err(error) if errno(&error) == Some(libc::ENOMEM) => {
                thread::sleep(FIRST * 2_u32.pow(number));
            }
            done => return done,
        }
    }
    insert()
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
    fn only_enomem_is_retried() {
        let mut refusals = vec![refusal(libc::ENOMEM), refusal(libc::ENOMEM)];
        let healed = insert(|| refusals.pop().map_or(Ok(()), Err));
        assert!(healed.is_ok() && refusals.is_empty(), "{healed:?}");

        let mut calls = 0;
        let full = insert(|| {
            calls += 1;
            Err(refusal(libc::E2BIG))
        });
        assert!(full.is_err());
        assert_eq!(calls, 1, "a full table stays full");

        let mut calls = 0;
        let starved = insert(|| {
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
