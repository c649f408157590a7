//! A new text of a list: read, checked, and described for the store.

use super::local_addresses::LocalAddresses;
use super::read::{Contents, read, read_blank};
use super::sanity::problems;
use super::store::{StoredHeader, StoredList};
use crate::model::list::{Definition, Source};
use crate::model::units::UnixSeconds;
use crate::model::word::Word as _;

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
    let blank = read_blank(text, definition.format).filter(|_| is_own);
    let contents = match blank {
        Some(contents) => contents,
        None => read(text, definition.format, &source, since).map_err(|error| error.to_string())?,
    };
    // A server that gives nothing has more often lost its list than cleared it.
    let is_declared = contents.is_whole && contents.skipped.is_empty();
    let is_empty = contents.entries.is_empty() && (is_own || is_declared);
    if force || is_empty {
        return Ok(contents);
    }
    // The size of a list from another source says nothing about this one.
    let former = stored.filter(|stored| stored.header.source == source);
    let former = former.map(|stored| stored.header.entries);
    let problems = problems(&contents.entries, former, local);
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
