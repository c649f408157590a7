//! Puts a program behind a link that exists, which replaces the program that was there in one call.

use aya::programs::links::FdLink;
use aya::programs::tc::SchedClassifierLink;
use aya::programs::xdp::XdpLink;
use aya::programs::{ProgramError, SchedClassifier, Xdp};

use super::call::link_error;

/// Puts an ingress program behind a pinned link.
pub(super) fn update_ingress(program: &mut Xdp, link: FdLink) -> Result<(), ProgramError> {
    let link = XdpLink::try_from(link).map_err(link_error)?;
    let id = program.attach_to_link(link)?;
    // From here on the pin holds the link.
    program.take_link(id).map(drop)
}

/// Puts an egress program behind a pinned link.
pub(super) fn update_egress(
    program: &mut SchedClassifier,
    link: FdLink,
) -> Result<(), ProgramError> {
    let link = SchedClassifierLink::try_from(link).map_err(link_error)?;
    let id = program.attach_to_link(link)?;
    program.take_link(id).map(drop)
}
