//! How the devices of this network namespace are stacked, and what follows for a filter. Pure: everything is read from
//! a list of interfaces.

mod origins;
mod placement;
mod stack;
mod tunnels;

pub use origins::origins;
pub use placement::{coverage, placement, refusal};
pub use stack::Stack;
pub use tunnels::tunnel_findings;

#[cfg(test)]
mod tests;
