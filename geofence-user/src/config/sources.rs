//! The texts that make up a configuration: a file, and the files merged over it.
//!
//! A span counts bytes through all texts, one behind the other, so that it says which text it is in. Nothing here knows
//! a key.

use std::borrow::Cow;
use std::ops::Range;

/// The texts of a configuration, in the order in which they are merged.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources {
    sources: Vec<Source>,
}

/// One text.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) text: String,
    /// The place of its first byte, counted through all texts.
    start: usize,
    lines: LineStarts,
}

impl Sources {
    pub(super) fn one(name: &str, text: &str) -> Self {
        let mut sources = Self::default();
        sources.push(name, text);
        sources
    }

    pub(super) fn push(&mut self, name: &str, text: &str) {
        // Some editors put a byte order mark before the text, which would shift every column of the first line.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        // A place behind the end of a text is still a place of that text.
        let end = |last: &Source| last.start + last.text.len() + 1;
        self.sources.push(Source {
            name: name.to_owned(),
            text: text.to_owned(),
            start: self.sources.last().map_or(0, end),
            lines: LineStarts::of(text),
        });
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter()
    }

    /// The number of the text that has this byte.
    pub(super) fn number_of(&self, at: usize) -> usize {
        let behind = self.sources.partition_point(|source| source.start <= at);
        behind.saturating_sub(1)
    }

    /// The text with this number.
    pub(super) fn get(&self, number: usize) -> Option<&Source> {
        self.sources.get(number)
    }

    /// The name, line and column of a byte.
    pub(super) fn place(&self, at: usize) -> String {
        let Some(source) = self.get(self.number_of(at)) else {
            return String::new();
        };
        let at = at.saturating_sub(source.start);
        let (line, column) = source.lines.position(&source.text, at);
        format!("{}:{line}:{column}", source.name)
    }

    /// The characters of a span; nothing if it is in no text.
    pub(super) fn slice(&self, span: &Range<usize>) -> &str {
        let source = self.get(self.number_of(span.start));
        let slice = source.and_then(|source| source.text.get(source.local(span)));
        slice.unwrap_or_default()
    }
}

impl Source {
    /// The text with as many spaces before it that the spans of its parser count through all texts.
    pub(super) fn padded(&self) -> Cow<'_, str> {
        if self.start == 0 {
            return Cow::Borrowed(&self.text);
        }
        // A width in a format has 16 bits, and panics beyond.
        Cow::Owned(" ".repeat(self.start) + &self.text)
    }

    /// A span of all texts, counted in this one.
    pub(super) fn local(&self, span: &Range<usize>) -> Range<usize> {
        span.start.saturating_sub(self.start)..span.end.saturating_sub(self.start)
    }
}

/// Where the lines of a text begin, so that a hundred thousand places are found in no time.
#[derive(Clone, Debug)]
pub(super) struct LineStarts(Vec<usize>);

impl LineStarts {
    pub(super) fn of(text: &str) -> Self {
        let behind = text.match_indices('\n').map(|(at, _)| at + 1);
        Self(std::iter::once(0).chain(behind).collect())
    }

    /// The line and the column of a place in that text, counted from 1.
    pub(super) fn position(&self, text: &str, at: usize) -> (usize, usize) {
        let at = text.floor_char_boundary(at.min(text.len()));
        let line = self.0.partition_point(|start| *start <= at);
        let start = self.0.get(line.saturating_sub(1)).copied();
        let before = text.get(start.unwrap_or(0)..at).unwrap_or_default();
        (line, before.chars().count() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_by_characters_in_each_text() {
        let mut sources = Sources::one("a", "x = \"ä\" # é\ny = 1\n");
        sources.push("b", "\nz = 2");
        let second = sources.get(1).map_or(0, |source| source.start);
        for (at, expected) in [
            (0, "a:1:1"),
            (5, "a:1:6"),
            (6, "a:1:6"),
            (7, "a:1:7"),
            (15, "a:2:2"),
            (20, "a:3:1"),
            (second, "b:1:1"),
            (second + 2, "b:2:2"),
            (second + 99, "b:2:6"),
        ] {
            assert_eq!(sources.place(at), expected, "{at}");
        }
    }

    #[test]
    fn text_behind_a_large_one_is_padded_to_its_place() {
        let mut sources = Sources::one("large", &"#".repeat(100_000));
        sources.push("small", "a");
        let padded: Vec<_> = sources.iter().map(Source::padded).collect();
        assert_eq!(padded[1].len(), 100_002);
        assert!(padded[1].ends_with(" a"));
        assert_eq!(sources.place(100_001), "small:1:1");
    }
}
