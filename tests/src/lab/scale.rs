//! How much of everything a laboratory does.

/// How much of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// All of it.
    Whole,
    /// A tenth, the same shape.
    Short,
}

impl Scale {
    pub(super) fn of(self, whole: u32) -> u32 {
        match self {
            Self::Whole => whole,
            Self::Short => whole / 10,
        }
    }

    pub(super) fn messages(self) -> u32 {
        // Each way and each domain has its turn even in the short form.
        match self {
            Self::Whole => 200,
            Self::Short => 32,
        }
    }
}
