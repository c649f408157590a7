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
    /// The container image with the static binary, as an archive (OCI)
    Oci,
    /// The bill of materials (CycloneDX)
    Sbom,
}

impl Part {
    /// What is made unless parts are named.
    pub(super) const DEFAULT: [Self; 1] = [Self::Deb];

    /// Whether it contains the binary that needs no C library.
    pub(crate) fn is_static(self) -> bool {
        matches!(self, Self::Tarball | Self::Oci)
    }
}
