//! The two places of an interface where a program runs.

/// Which of the two programs a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hook {
    Ingress,
    Egress,
}

impl Hook {
    pub(super) const ALL: [Self; 2] = [Self::Ingress, Self::Egress];

    /// The name in pins and messages.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }
}
