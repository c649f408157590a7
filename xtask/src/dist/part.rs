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
    pub(super) const ALL: [Self; 4] = [Self::Deb, Self::Rpm, Self::Tarball, Self::Sbom];
}
