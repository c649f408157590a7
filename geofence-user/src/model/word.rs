//! What a setting that is one of a few words has: the spelling and the meaning of each word.

/// A setting that is one of a few words.
pub trait Word: Copy + PartialEq + 'static {
    /// The words, what they stand for and what they mean.
    const WORDS: &'static [(&'static str, Self, &'static str)];

    /// The spelling of this value.
    fn word(self) -> &'static str {
        Self::WORDS
            .iter()
            .find(|(_, value, _)| *value == self)
            .map_or("", |(word, _, _)| word)
    }
}
