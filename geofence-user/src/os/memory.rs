//! Memory that goes back to the system after a policy has been compiled.
//!
//! Compiling takes several times what the daemon needs permanently. The C library would keep the freed blocks for the
//! next compilation, which may be a month away.

#![cfg_attr(
    target_env = "gnu",
    expect(unsafe_code, reason = "the C library's functions are foreign")
)]

/// Freed blocks of at least this many bytes go back to the system at once.
#[cfg(target_env = "gnu")]
const LARGE: i32 = 1 << 20;

/// Makes the C library take every large block directly from the system.
///
/// Otherwise it raises its own threshold and takes larger and larger blocks from a heap of the calling thread, whose
/// end `give_back` does not return.
pub fn keep_large_apart() {
    // SAFETY: the function takes two numbers and may be called at any time. A library that does not know the option
    // reports so and keeps its defaults.
    #[cfg(target_env = "gnu")]
    let _ = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE) };
}

/// Returns free memory to the system. Worth its milliseconds only after a load or a reload.
pub fn give_back() {
    // SAFETY: the function takes no pointer and may be called from any thread at any time. Its result says only whether
    // there was anything to return.
    #[cfg(target_env = "gnu")]
    let _ = unsafe { libc::malloc_trim(0) };
}
