//! Bytes of a list to its entries: what every format shares.
//!
//! A format walks the text and says what it finds; places are worked out here, faults are collected, and a list with
//! any is no list: half a list would filter by chance. What bytes are instead of text is told before a format sees
//! them. Whatever the bytes, reading ends, in time that grows with their number.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;

use serde_json::value::RawValue;

use super::address::{self, NoSpan, Span, shown};
use super::{Entries, Entry, Format, Place};

/// The most that is read of a list: twenty million addresses fit.
pub const LIST_BYTES_MAX: u64 = 320 << 20;

/// More entries than this are a mistake, or somebody else's.
const ENTRIES_MAX: usize = 16 << 20;

/// Behind so many faults, the text is something else.
const FAULTS_MAX: usize = 100;

/// What a list's text holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    pub entries: Entries,
    /// The format it was read as, which is never `Auto`.
    pub format: Option<Format>,
    /// How many entries say what others say as well.
    pub repeated: usize,
    /// Entries that are about something else than addresses, by what they are.
    pub passed_over: BTreeMap<&'static str, usize>,
}

/// What is wrong at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub place: Place,
    pub what: String,
    pub help: String,
}

/// Why a text is no list. Its `Display` is the whole message, for a reader who knows which list it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListError {
    /// It is something else.
    Whole {
        source: String,
        what: String,
        help: String,
    },
    /// It is a list with faults, in order; never none.
    Faults {
        source: String,
        faults: Vec<Fault>,
        /// Whether there may be more.
        is_cut: bool,
    },
}

impl std::error::Error for ListError {}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Nobody mends more by hand.
        const SHOWN_MAX: usize = 5;
        match self {
            Self::Whole { source, what, help } => write!(f, "{source}: {what}; {help}"),
            Self::Faults {
                source,
                faults,
                is_cut,
            } => {
                for (number, fault) in faults.iter().take(SHOWN_MAX).enumerate() {
                    let separator = if number > 0 { "\n" } else { "" };
                    let Fault { place, what, help } = fault;
                    write!(f, "{separator}{source}, {place}: {what}")?;
                    if !help.is_empty() {
                        write!(f, "; {help}")?;
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

/// Reads a list. `source` is what messages call it, `read` the time from which durations in it count.
pub fn read(bytes: &[u8], format: Format, source: &str, now: u64) -> Result<Contents, ListError> {
    let whole = |(what, help): (String, String)| ListError::Whole {
        source: source.to_owned(),
        what,
        help,
    };
    let text = text(bytes).map_err(whole)?;
    let format = if format == Format::Auto {
        super::format::detect(&text).map_err(whole)?
    } else {
        format
    };
    let mut reading = Reading::new(&text, now);
    format.reader()(&mut reading);
    if !reading.faults.is_empty() {
        return Err(ListError::Faults {
            source: source.to_owned(),
            is_cut: reading.is_over(),
            faults: reading.faults,
        });
    }
    let read = reading.entries.len();
    let entries = Entries::new(reading.entries);
    Ok(Contents {
        repeated: read - entries.len(),
        entries,
        format: Some(format),
        passed_over: reading.passed_over,
    })
}

/// The text that bytes are, or what they are instead and the way out.
fn text(bytes: &[u8]) -> Result<Cow<'_, str>, (String, String)> {
    let no = |what: &str, help: &str| Err((what.to_owned(), help.to_owned()));
    let packed = |kind: &str, tool: &str| {
        Err((
            format!("this is a file packed with {kind}"),
            format!("unpack it first, with `{tool}`"),
        ))
    };
    match bytes {
        [0x1f, 0x8b, ..] => return packed("gzip", "gunzip FILE"),
        [b'B', b'Z', b'h', ..] => return packed("bzip2", "bunzip2 FILE"),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => return packed("xz", "unxz FILE"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => return packed("zstd", "unzstd FILE"),
        [b'P', b'K', 3, 4, ..] => return packed("zip", "unzip FILE"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            return no("this is UTF-16 text", "save it as UTF-8");
        }
        _ => {}
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.contains(&0) {
        return no(
            "there are zero bytes in it, so it is no text",
            "check that it is the list, whole and not packed",
        );
    }
    // A comment may be in any encoding; where a character matters, the one that replaces it is refused.
    let text = String::from_utf8_lossy(bytes);
    let start = text.trim_start();
    if start.is_empty() {
        return no(
            "it is empty",
            "check that its source still gives a list, and fetch it again",
        );
    }
    if start.starts_with('<') {
        let what = if start
            .get(..2048)
            .unwrap_or(start)
            .to_ascii_lowercase()
            .contains("<html")
        {
            "this is a page for people (HTML), not a list"
        } else {
            "this is HTML or XML, not a list"
        };
        return no(
            what,
            "the source wants a login, has moved or answers with an error: open its address in a browser to see which",
        );
    }
    Ok(text)
}

/// A reading of a text under way.
pub(super) struct Reading<'a> {
    text: &'a str,
    pub(super) now: u64,
    entries: Vec<Entry>,
    faults: Vec<Fault>,
    passed_over: BTreeMap<&'static str, usize>,
    /// The place of the offset asked for last; places are asked for in order, or nearly.
    line: u32,
    line_start: usize,
    counted: usize,
}

impl<'a> Reading<'a> {
    fn new(text: &'a str, now: u64) -> Self {
        Self {
            text,
            now,
            entries: Vec::new(),
            faults: Vec::new(),
            passed_over: BTreeMap::new(),
            line: 1,
            line_start: 0,
            counted: 0,
        }
    }

    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    /// Whether there is nothing to gain by reading on.
    pub(super) fn is_over(&self) -> bool {
        self.faults.len() >= FAULTS_MAX
    }

    pub(super) fn has_faults(&self) -> bool {
        !self.faults.is_empty()
    }

    /// How many entries there are so far.
    pub(super) fn count(&self) -> usize {
        self.entries.len()
    }

    /// The place of a part of the text.
    pub(super) fn place(&mut self, part: &str) -> Place {
        self.place_at(self.offset(part))
    }

    fn offset(&self, part: &str) -> usize {
        let offset = part.as_ptr().addr().checked_sub(self.text.as_ptr().addr());
        offset
            .filter(|offset| *offset <= self.text.len())
            .unwrap_or(0)
    }

    pub(super) fn place_at(&mut self, offset: usize) -> Place {
        if offset < self.counted {
            (self.line, self.line_start, self.counted) = (1, 0, 0);
        }
        let between = self.text.as_bytes().get(self.counted..offset);
        for (at, byte) in between.unwrap_or_default().iter().enumerate() {
            if *byte == b'\n' {
                self.line = self.line.saturating_add(1);
                self.line_start = self.counted + at + 1;
            }
        }
        self.counted = offset;
        Place {
            line: self.line,
            column: u32::try_from(offset - self.line_start + 1).unwrap_or(u32::MAX),
        }
    }

    /// Notes what is wrong with a part of the text.
    pub(super) fn fault(&mut self, part: &str, what: impl Into<String>, help: impl Into<String>) {
        let place = self.place(part);
        self.fault_at(place, what, help);
    }

    pub(super) fn fault_at(
        &mut self,
        place: Place,
        what: impl Into<String>,
        help: impl Into<String>,
    ) {
        let (what, help) = (what.into(), help.into());
        self.faults.push(Fault { place, what, help });
    }

    /// Notes that an entry is about something else than an address.
    pub(super) fn pass_over(&mut self, what: &'static str) {
        *self.passed_over.entry(what).or_default() += 1;
    }

    /// Adds what a word of the text stands for.
    pub(super) fn add(&mut self, word: &str, expires: Option<u64>) {
        let place = self.place(word);
        self.add_at(place, word, expires);
    }

    /// Adds what a word from this place stands for.
    pub(super) fn add_at(&mut self, place: Place, word: &str, expires: Option<u64>) {
        // A time too late for the field is as good as never.
        let expires = expires
            .map(|time| time.max(1))
            .and_then(|time| u32::try_from(time).ok())
            .and_then(NonZeroU32::new);
        let entry = |net| Entry {
            net,
            place,
            expires,
        };
        match address::parse(word) {
            Ok(Span::One(net)) => self.entries.push(entry(net)),
            Ok(Span::Range(nets)) => self.entries.extend(nets.map(entry)),
            Err(NoSpan { what, help }) => self.fault_at(place, what, help),
        }
        if self.entries.len() > ENTRIES_MAX {
            self.entries.clear();
            self.fault_at(
                place,
                format!("there are more than {ENTRIES_MAX} entries"),
                "split the list, or use one that is aggregated",
            );
            // Whatever else there is, there is too much of it.
            self.faults.resize(
                FAULTS_MAX,
                Fault {
                    place,
                    what: "as above".to_owned(),
                    help: String::new(),
                },
            );
        }
    }

    /// The items of a JSON document of this shape, or a fault.
    pub(super) fn json<T: serde::Deserialize<'a>>(&mut self, expected: &str) -> Option<T> {
        match serde_json::from_str(self.text) {
            Ok(read) => Some(read),
            Err(error) => {
                let place = Place {
                    line: u32::try_from(error.line()).unwrap_or(u32::MAX).max(1),
                    column: u32::try_from(error.column()).unwrap_or(u32::MAX).max(1),
                };
                self.json_fault(place, &error, expected);
                None
            }
        }
    }

    /// One item of a JSON document, or a fault at its place.
    pub(super) fn item<T: serde::Deserialize<'a>>(
        &mut self,
        item: &'a RawValue,
        expected: &str,
    ) -> Option<T> {
        match serde_json::from_str(item.get()) {
            Ok(read) => Some(read),
            Err(error) => {
                let place = self.place(item.get());
                self.json_fault(place, &error, expected);
                None
            }
        }
    }

    fn json_fault(&mut self, place: Place, error: &serde_json::Error, expected: &str) {
        let said = error.to_string();
        // The parser counts lines of what it was given, which may be a part.
        let said = said.split(" at line ").next().unwrap_or_default();
        if error.is_eof() {
            self.fault_at(place, "the text ends in the middle", "fetch it again");
        } else if error.is_syntax() {
            self.fault_at(
                place,
                format!("this is not JSON: {said}"),
                "fetch it again, or name the format it has",
            );
        } else {
            self.fault_at(
                place,
                format!("this is not {expected}: {}", shown(said).replace('`', "")),
                "name the format the list has",
            );
        }
    }
}
