//! The parts of what is published.

use clap::ValueEnum;

/// A part of what is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// The Debian package
    Deb,
    /// The RPM package
    Rpm,
    /// The archive with the static binary, for any distribution
    Tarball,
    /// The bill of materials (CycloneDX)
    Sbom,
}

impl Part {
    /// What is made unless parts are named.
    pub(super) const DEFAULT: [Self; 1] = [Self::Deb];
}
