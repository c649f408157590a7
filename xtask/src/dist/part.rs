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
    /// The Debian package of the fleet's agent
    Fleet,
    /// The container image of the fleet's controller for Kubernetes, as an archive (OCI)
    Controller,
    /// The bill of materials (CycloneDX)
    Sbom,
}

impl Part {
    /// What is made unless parts are named.
    pub(super) const DEFAULT: [Self; 1] = [Self::Deb];

    /// The word for it on the command line.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Deb => "deb",
            Self::Rpm => "rpm",
            Self::Tarball => "tarball",
            Self::Oci => "oci",
            Self::Fleet => "fleet",
            Self::Controller => "controller",
            Self::Sbom => "sbom",
        }
    }

    /// Whether it contains the binary that needs no C library.
    pub(crate) fn is_static(self) -> bool {
        matches!(self, Self::Tarball | Self::Oci | Self::Controller)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_command_line() {
        for part in Part::value_variants() {
            let value = part.to_possible_value().unwrap();
            assert_eq!(value.get_name(), part.name());
        }
    }
}
