//! Memory that is given back to the system once a policy has been compiled.
//!
//! Compiling takes several times what the daemon needs for good, in blocks that the C library keeps for a next time
//! that may be a month away.

#![expect(unsafe_code, reason = "the C library's function is foreign")]

/// Gives back what is free. Worth its milliseconds after a load or a reload, and at no other time.
pub fn give_back() {
    // SAFETY: the function takes no pointer and may be called from any thread at any time. What it returns says only
    // whether there was anything to give.
    #[cfg(target_env = "gnu")]
    let _ = unsafe { libc::malloc_trim(0) };
}
