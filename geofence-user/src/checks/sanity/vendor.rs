//! Whether new data is of the vendor whose data is in use. Vendors place addresses differently, so amounts that would
//! be damage between two releases of one vendor are usual between two vendors.
//!
//! A vendor is known by the types that its databases give themselves.

/// Whose data replaces whose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Vendor {
    /// A release replaces another, or it is not known whose data is in use.
    #[default]
    Same,
    Other,
}

impl Vendor {
    /// Compares the types of the databases in use with those of the new ones.
    #[must_use]
    pub fn of(before: &[String], after: &[String]) -> Self {
        let is_known = !before.is_empty() && !after.is_empty();
        if is_known && before != after {
            Self::Other
        } else {
            Self::Same
        }
    }
}

/// The line of a configuration that accepts databases of these types for good.
#[must_use]
pub fn accepting_line(types: &[String]) -> String {
    let quoted: Vec<_> = types.iter().map(|one| format!("{one:?}")).collect();
    format!("accept-database-types = [{}]", quoted.join(", "))
}
