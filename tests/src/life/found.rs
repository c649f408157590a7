//! What a step of the life laboratory found, apart from its traffic.

/// What a step found, apart from its traffic.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// What is worth a word in the row.
    pub(super) notes: Vec<String>,
    /// What was not as expected, each with what was expected and what came.
    pub(super) faults: Vec<String>,
}

impl Found {
    pub(super) fn note(note: String) -> Self {
        Self {
            notes: vec![note],
            faults: Vec::new(),
        }
    }

    /// Adds a fault unless a condition holds.
    pub(super) fn expect(&mut self, holds: bool, fault: impl FnOnce() -> String) {
        if !holds {
            self.faults.push(fault());
        }
    }
}
