//! A new text of a list: read, checked, and described for the store.

use super::extent;
use super::local_addresses::LocalAddresses;
use super::read::{Contents, ListError, read_at_most, read_blank};
use super::sanity::{GROWTH_MAX, SanityProblem, problems};
use super::special_use::without_special_use;
use super::store::{StoredHeader, StoredList};
use super::traffic::Dropped;
use crate::model::list::{Definition, Source};
use crate::model::units::UnixSeconds;
use crate::model::word::Word as _;
use crate::os::input;

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
    let former = former.map(|stored| stored.header.size());
    // What the check would reject for its number of entries is not read to its end.
    let grown = former.filter(|former| *former > 0 && !force);
    let grown = grown.map(|former| former.saturating_mul(GROWTH_MAX));
    let room = entries_in_memory();
    let entries_max = grown.map_or(room, |grown| grown.min(room));
    let contents = read_at_most(text, definition.format, &source, since, Some(entries_max));
    let contents = contents.map_err(|error| {
        if !matches!(error, ListError::TooMany { .. }) {
            error.to_string()
        } else if grown == Some(entries_max) {
            format!("{error}, {GROWN}{}", acceptance(definition))
        } else if entries_max == room {
            no_room(&error)
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
    // What a list in use drops does not pass, so its own text is not judged again.
    let is_stored = stored.is_some_and(|stored| stored.text == text);
    let traffic = local.traffic.as_ref().filter(|_| !is_stored);
    let excess = traffic.and_then(|one| one.excess(definition, &contents.entries));
    problems.extend(
        excess.map(|Dropped { percent, country }| SanityProblem::Traffic {
            percent,
            max_percent: definition.share_max(),
            country,
        }),
    );
    if problems.is_empty() {
        return Ok(contents);
    }
    let lines = problems
        .iter()
        .map(|problem| format!("{source}: {problem}"));
    Err(lines.collect::<Vec<_>>().join("\n") + &acceptance(definition))
}

/// How to accept a text that can be read and is doubted. A text that cannot be read is not accepted by force either.
fn acceptance(definition: &Definition) -> String {
    format!(
        "\nIf the new text is right, accept it: geofence update {} --force",
        definition.name
    )
}

/// How many entries there is memory for under the limit of the control group: as they are read, in the image that they
/// are compiled to, and in the kernel's two slots.
pub(super) fn entries_in_memory() -> usize {
    const ENTRY_BYTES: u64 = 256;
    usize::try_from(input::room() / ENTRY_BYTES).unwrap_or(usize::MAX)
}

/// What is said of a list that has more.
pub(super) fn no_room(error: &ListError) -> String {
    format!(
        "{error}, and the memory limit of this process leaves no room for more; raise it, or use a shorter list"
    )
}

/// The header that a good text is stored with.
pub(super) fn header_of(
    definition: &Definition,
    contents: &Contents,
    since: UnixSeconds,
    stored: Option<&StoredList>,
) -> StoredHeader {
    let source = definition.source.to_string();
    // The size of a list from another source says nothing about this one.
    let stored = stored.filter(|stored| stored.header.source == source);
    let format = contents.format.unwrap_or(definition.format);
    StoredHeader {
        source,
        format: format.word().to_owned(),
        since,
        entries: contents.entries.len(),
        last_entries: stored
            .filter(|_| contents.entries.is_empty())
            .map(|stored| stored.header.size()),
        ..StoredHeader::default()
    }
}
