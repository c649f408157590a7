//! What a frame of the corpus is: its name and its bytes.

/// A named frame.
pub type Named = (&'static str, Vec<u8>);
