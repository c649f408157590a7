//! The bytes of a list to its entries, in any format.
//!
//! A list with a fault is refused as a whole: half a list would filter by chance. Whatever the bytes, reading ends, in
//! time proportional to their number.

use std::collections::BTreeMap;
use std::fmt;

use super::formats::{detect, parser_of};
use super::parser::Parser;
use super::problem::{Fault, Problem};
use super::text::decode;
use crate::model::list::Format;
use crate::model::listing::Entries;
use crate::model::units::UnixSeconds;

/// The content of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    pub entries: Entries,
    /// The format it was read in, which is never `Auto`.
    pub format: Option<Format>,
    /// Whether the text says that it is whole: by an end, a count, or the form of its document.
    pub is_whole: bool,
    /// How many entries repeat the prefix of another.
    pub repeated: usize,
    /// Items that are not entries for this list, counted by kind.
    pub skipped: BTreeMap<&'static str, usize>,
}

/// Why a text is not a list. Its `Display` is the whole message, except for the name of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListError {
    /// The text as a whole is not a list.
    Whole { source: String, problem: Problem },
    /// The list has faults, in order; there is at least one.
    Faults {
        source: String,
        faults: Vec<Fault>,
        /// Whether reading stopped before the end, so that there may be more.
        is_cut: bool,
    },
    /// Reading stopped because there are more entries than this.
    TooMany { source: String, entries_max: usize },
}

impl std::error::Error for ListError {}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// More would not help: the list comes from a third party.
        const SHOWN_MAX: usize = 5;
        match self {
            Self::Whole { source, problem } => {
                write!(f, "{source}: {}; {}", problem.what, problem.help)
            }
            Self::TooMany {
                source,
                entries_max,
            } => write!(f, "{source}: it has more than {entries_max} entries"),
            Self::Faults {
                source,
                faults,
                is_cut,
            } => {
                for (number, Fault { place, problem }) in faults.iter().take(SHOWN_MAX).enumerate()
                {
                    let separator = if number > 0 { "\n" } else { "" };
                    write!(f, "{separator}{source}, {place}: {}", problem.what)?;
                    if !problem.help.is_empty() {
                        write!(f, "; {}", problem.help)?;
                    }
                }
                match faults.len().checked_sub(SHOWN_MAX) {
                    Some(more) if *is_cut => write!(f, "\nand at least {more} more"),
                    Some(more) if more > 0 => write!(f, "\nand {more} more"),
                    _ => Ok(()),
                }
            }
        }
    }
}

/// Reads a list. Messages call it `source`; durations in it count from `now`.
pub fn read(
    bytes: &[u8],
    format: Format,
    source: &str,
    now: UnixSeconds,
) -> Result<Contents, ListError> {
    read_at_most(bytes, format, source, now, None)
}

/// The same, as far as this many entries.
pub(super) fn read_at_most(
    bytes: &[u8],
    format: Format,
    source: &str,
    now: UnixSeconds,
    entries_max: Option<usize>,
) -> Result<Contents, ListError> {
    let whole = |problem| ListError::Whole {
        source: source.to_owned(),
        problem,
    };
    let text = decode(bytes).map_err(whole)?;
    let format = if format == Format::Auto {
        detect(&text).map_err(whole)?
    } else {
        format
    };
    let mut parser = Parser::new(&text, now, entries_max);
    parser_of(format)(&mut parser);
    if let Some(entries_max) = parser.too_many {
        let source = source.to_owned();
        return Err(ListError::TooMany {
            source,
            entries_max,
        });
    }
    if parser.has_faults() {
        return Err(ListError::Faults {
            source: source.to_owned(),
            is_cut: parser.is_over(),
            faults: parser.faults,
        });
    }
    let read = parser.entries.len();
    let entries = Entries::new(parser.entries);
    Ok(Contents {
        repeated: read - entries.len(),
        entries,
        format: Some(format),
        is_whole: parser.is_whole,
        skipped: parser.skipped,
    })
}

/// The content of a blank text, in a format of lines without a heading that every list has. From a third party it is a
/// mistake; a file of our own from which the last line was removed is an empty list.
pub(super) fn read_blank(bytes: &[u8], format: Format) -> Option<Contents> {
    let is_of_lines = matches!(
        format,
        Format::Auto | Format::Plain | Format::Netset | Format::Ipset | Format::Spamhaus
    );
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    (is_of_lines && bytes.trim_ascii().is_empty()).then(|| Contents {
        format: Some(format).filter(|format| *format != Format::Auto),
        ..Contents::default()
    })
}
