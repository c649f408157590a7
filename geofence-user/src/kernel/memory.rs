//! Memory that is given back to the system once a policy has been compiled.
//!
//! Compiling takes several times what the daemon needs for good, in blocks that the C library keeps for a next time
//! that may be a month away.

#![expect(unsafe_code, reason = "the C library's functions are foreign")]

/// Blocks of at least so many bytes are the system's again as soon as they are free.
#[cfg(target_env = "gnu")]
const LARGE: i32 = 1 << 20;

/// Has every large block taken from the system by itself. Otherwise the C library takes larger and larger ones from a
/// heap of the thread that asks, and of such a heap the end is not among what is given back below.
pub fn keep_large_apart() {
    // SAFETY: the function takes two numbers and may be called at any time. A library that does not know them says so,
    // and then keeps more than it must.
    #[cfg(target_env = "gnu")]
    let _ = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE) };
}

/// Gives back what is free. Worth its milliseconds after a load or a reload, and at no other time.
pub fn give_back() {
    // SAFETY: the function takes no pointer and may be called from any thread at any time. What it returns says only
    // whether there was anything to give.
    #[cfg(target_env = "gnu")]
    let _ = unsafe { libc::malloc_trim(0) };
}
