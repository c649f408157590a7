//! mdBook, which makes a book of the documentation.

use anyhow::Result;

use super::cargo_tool::Tool;

const MDBOOK: Tool = Tool {
    name: "mdbook",
    version: "0.5.4",
    asks: &["--version"],
};

/// Builds it, unless it is there.
pub(crate) fn install() -> Result<()> {
    MDBOOK.install()
}
