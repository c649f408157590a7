//! The page for people: what the filter does now, in tables, on a map and in answers to questions about a packet.
//!
//! The server writes all of it, so it works without a script. The script only keeps figures current. Everything the
//! page needs is in this program: nothing is read from the disk, and nothing comes from other hosts.

mod explain_box;
mod figures;
pub mod live;
mod map;
mod query;
mod tables;
mod view;

use askama::Template as _;

pub use self::query::Query;

use crate::daemon::Daemon;
use crate::model::text::printable;

/// What the page may load: style, script, icon and figures of its own, and nothing from elsewhere.
pub const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
                          base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
pub const STYLE: &str = include_str!("../../../templates/page.css");
pub const SCRIPT: &str = include_str!("../../../templates/page.js");
pub const ICON: &str = include_str!("../../../templates/icon.svg");

/// Writes the page.
///
/// # Errors
/// When the counters cannot be read.
pub async fn render(daemon: &Daemon, query: &Query) -> anyhow::Result<String> {
    let snapshot = daemon.snapshot().await?;
    let status = daemon.status().await;
    let counts = daemon.new_counts();
    let explain = explain_box::Explain::answer(daemon, query);
    let view = view::Page::new(&snapshot, &status, counts.as_ref(), query)
        .with(explain)
        .marked(daemon.mark());
    // Names and reasons come from files. The template escapes them for HTML; this, what would turn text around.
    Ok(printable(&view.render()?))
}
