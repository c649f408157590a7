//! A new text of a list: read, checked, and described for the store.

use super::extent;
use super::local_addresses::LocalAddresses;
use super::read::{Contents, ListError, read_at_most, read_blank};
use super::sanity::{GROWTH_MAX, problems};
use super::special_use::without_special_use;
use super::store::{StoredHeader, StoredList};
use crate::model::list::{Definition, Source};
use crate::model::units::UnixSeconds;
use crate::model::word::Word as _;

/// What a list with too many entries is, compared with its last good text.
const GROWN: &str = "at least ten times as many as before";

/// Reads a text that its source gave at this time, and checks it against the stored one unless `force` is set. An error
/// says in lines why it is rejected.
pub(super) fn read_checked(
    definition: &Definition,
    text: &[u8],
    since: UnixSeconds,
    stored: Option<&StoredList>,
    local: &LocalAddresses,
    force: bool,
) -> Result<Contents, String> {
    let source = definition.source.to_string();
    let is_own = matches!(definition.source, Source::File(_));
    if let Some(contents) = read_blank(text, definition.format).filter(|_| is_own) {
        return Ok(contents);
    }
    // The size of a list from another source says nothing about this one.
    let former = stored.filter(|stored| stored.header.source == source);
    let former = former.map(|stored| stored.header.entries);
    // What the check would reject for its number of entries is not read to its end.
    let entries_max = former.filter(|former| *former > 0 && !force);
    let entries_max = entries_max.map(|former| former.saturating_mul(GROWTH_MAX));
    let contents = read_at_most(text, definition.format, &source, since, entries_max);
    let contents = contents.map_err(|error| {
        if matches!(error, ListError::TooMany { .. }) && entries_max.is_some() {
            format!("{error}, {GROWN}")
        } else {
            error.to_string()
        }
    })?;
    // A server that gives nothing has more often lost its list than cleared it.
    let is_declared = contents.is_whole && contents.skipped.is_empty();
    let is_empty = contents.entries.is_empty() && (is_own || is_declared);
    let contents = without_special_use(definition, contents);
    if force || is_empty {
        return Ok(contents);
    }
    let mut problems = problems(&contents.entries, former, local);
    problems.extend(extent::problems(definition, &contents.entries));
    if problems.is_empty() {
        return Ok(contents);
    }
    let lines = problems
        .iter()
        .map(|problem| format!("{source}: {problem}"));
    Err(lines.collect::<Vec<_>>().join("\n"))
}

/// The header that a good text is stored with.
pub(super) fn header_of(
    definition: &Definition,
    contents: &Contents,
    since: UnixSeconds,
) -> StoredHeader {
    let format = contents.format.unwrap_or(definition.format);
    StoredHeader {
        source: definition.source.to_string(),
        format: format.word().to_owned(),
        since,
        entries: contents.entries.len(),
        ..StoredHeader::default()
    }
}
