//! cargo-deny, which `cargo xtask lint` runs to check the licences and sources of dependencies.

use anyhow::Result;

use super::cargo_tool::Tool;

const CARGO_DENY: Tool = Tool {
    name: "cargo-deny",
    version: "0.20.2",
    asks: &["--version"],
};

/// Installs cargo-deny, unless this version or a later one is there.
pub(crate) fn install() -> Result<()> {
    CARGO_DENY.install()
}
