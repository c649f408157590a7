//! What each format reads, and what it refuses.
