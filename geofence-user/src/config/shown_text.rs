//! A text of a configuration as an error may show it: without what may be a secret.
//!
//! A secret does not belong into a configuration, and one that stands there is a likely cause of the error. The text
//! may be no TOML, so it is not parsed: keys, quotes and brackets are enough to find values. A value that may be a
//! secret is hidden: hiding a harmless value costs the reader little.

use std::ops::Range;

use crate::model::secret::{HIDDEN, is_secret_name};
use crate::model::server_url::secrets_in;

/// Tables without a key that takes a secret. Any other table may be a misspelled one that takes some.
pub(super) const OPEN_TABLES: [&str; 4] = ["tenant", "exception", "protect", "geo-override"];
/// The keys of the other tables whose values are no secrets. A misspelled key may be one that takes a secret.
pub(super) const OPEN_KEYS: [&str; 15] = [
    "account",
    "action",
    "api",
    "direction",
    "edition",
    "expires",
    "file",
    "format",
    "from",
    "max-share",
    "name",
    "server",
    "special-use",
    "url",
    "vendor",
];
/// Brackets in brackets that are looked into; the parser of TOML refuses as many.
const DEPTH_MAX: usize = 80;
/// What stands where a secret is expected, and is none: the place where it is kept, and the name of a user.
const OPEN_MEMBERS: [&str; 3] = ["credential", "file", "user"];

/// A text, and how its places move.
#[derive(Debug)]
pub(super) struct ShownText {
    pub(super) text: String,
    /// What was hidden, and what stands for it.
    hidden: Vec<(Range<usize>, Range<usize>)>,
}

impl ShownText {
    pub(super) fn of(text: &str) -> Self {
        let mut shown = Self {
            text: String::with_capacity(text.len()),
            hidden: Vec::new(),
        };
        let mut from = 0;
        for secret in secrets(text) {
            let start = secret.start.max(from);
            if start >= secret.end {
                continue;
            }
            shown.text.push_str(&text[from..start]);
            let stands = shown.text.len();
            shown.text.push_str(HIDDEN);
            shown
                .hidden
                .push((start..secret.end, stands..shown.text.len()));
            from = secret.end;
        }
        shown.text.push_str(&text[from..]);
        shown
    }

    /// Where a place of the text is in what is shown.
    pub(super) fn place(&self, span: &Range<usize>) -> Range<usize> {
        let moved = |at: usize, inside: fn(&Range<usize>) -> usize| {
            let behind = self
                .hidden
                .partition_point(|(secret, _)| secret.start <= at);
            match behind.checked_sub(1).and_then(|last| self.hidden.get(last)) {
                Some((secret, stands)) if at < secret.end => inside(stands),
                Some((secret, stands)) => stands.end + (at - secret.end),
                None => at,
            }
        };
        let start = moved(span.start, |stands| stands.start);
        let next = self
            .hidden
            .partition_point(|(secret, _)| secret.start < span.end);
        let end = match self.hidden.get(next) {
            // It ends before what is hidden.
            Some((secret, stands)) if secret.start == span.end => stands.start,
            _ => moved(span.end, |stands| stands.end),
        };
        start..end.max(start)
    }
}

/// The parts of a text that may be secrets, in its order; none has more than one line.
fn secrets(text: &str) -> Vec<Range<usize>> {
    let mut scan = Scan {
        text,
        at: 0,
        depth: 0,
        table: Vec::new(),
        found: Vec::new(),
    };
    while scan.at < text.len() {
        scan.statement();
    }
    let lines = scan.found.into_iter().flat_map(|range| lines(text, range));
    let mut lines: Vec<_> = lines.collect();
    lines.sort_by_key(|line| line.start);
    lines
}

/// The parts of a range without line breaks and the blanks beside them.
fn lines(text: &str, range: Range<usize>) -> Vec<Range<usize>> {
    let mut start = range.start;
    let lines = text[range].split('\n').map(|line| {
        let at = start;
        start += line.len() + 1;
        let begin = at + (line.len() - line.trim_start().len());
        begin..begin + line.trim().len()
    });
    lines.filter(|line| !line.is_empty()).collect()
}

/// A name as keys are compared: `X_Key` and "x-key" are the same.
fn plain(name: &str) -> String {
    let name = name.trim().trim_matches(['"', '\'']).trim();
    name.to_ascii_lowercase().replace('_', "-")
}

/// Whether the value of a key of these names, the outermost first, may be a secret.
fn is_secret(path: &[String]) -> bool {
    let Some((last, above)) = path.split_last() else {
        return false;
    };
    let [table, rest @ ..] = above else {
        return is_secret_name(last);
    };
    let names_a_secret = |names: &[String]| names.iter().any(|name| is_secret_name(name));
    if OPEN_TABLES.contains(&table.as_str()) {
        return names_a_secret(&path[1..]);
    }
    let key = rest.first().unwrap_or(last);
    if OPEN_KEYS.contains(&key.as_str()) {
        return names_a_secret(&path[1..]);
    }
    rest.is_empty() || !OPEN_MEMBERS.contains(&last.as_str())
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
    /// The brackets that are open.
    depth: usize,
    /// The names of the heading above.
    table: Vec<String>,
    found: Vec<Range<usize>>,
}

impl<'a> Scan<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip(&mut self, is_skipped: impl Fn(char) -> bool) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches(is_skipped).len();
    }

    /// Where the line ends.
    fn line_end(&self) -> usize {
        let rest = self.rest();
        self.at + rest.find('\n').unwrap_or(rest.len())
    }

    /// Whether the table is one whose keys may take secrets.
    fn may_have_secrets(&self) -> bool {
        let name = self.table.first();
        name.is_some_and(|name| !OPEN_TABLES.contains(&name.as_str()))
    }

    /// A heading, a key with its value, a comment, or what is none of these; always goes on.
    fn statement(&mut self) {
        self.skip(char::is_whitespace);
        match self.peek() {
            None => {}
            Some('#') => self.comment(false),
            Some('[') => self.heading(),
            Some(_) => self.key(),
        }
    }

    fn comment(&mut self, beside_a_secret: bool) {
        let (start, end) = (self.at + 1, self.line_end());
        let text = &self.text[start..end];
        let was_a_line = text.contains('=') && mentions_a_secret(text);
        if beside_a_secret || was_a_line || self.may_have_secrets() {
            self.found.push(start..end);
        }
        self.at = end;
    }

    fn heading(&mut self) {
        let line = &self.text[self.at..self.line_end()];
        let names = line.trim_start_matches('[');
        let names = names.split([']', '#']).next().unwrap_or_default();
        self.table = names.split('.').map(plain).collect();
        let brackets = line.rfind(']').map_or(line.len(), |last| last + 1);
        // A bracket in a comment ends no heading.
        let comment = line.find('#').unwrap_or(line.len());
        self.at += brackets.min(comment).max(1);
        self.end_of_line(false);
    }

    /// A key with its value, or a line without one.
    fn key(&mut self) {
        let (start, end) = (self.at, self.line_end());
        let Some(names) = self.names(end) else {
            let line = &self.text[start..end];
            if self.may_have_secrets() || mentions_a_secret(line) {
                let word = line.split(|c: char| !is_of_a_word(c)).next();
                let word = word.unwrap_or_default();
                let is_key = OPEN_KEYS.contains(&plain(word).as_str()) || is_secret_name(word);
                let shown = if is_key { word.len() } else { 0 };
                self.found.push(start + shown..end);
            }
            self.at = end;
            return;
        };
        let path = [self.table.clone(), names].concat();
        let found = self.found.len();
        self.value(&path, &['\n', '#']);
        let is_hidden = self.found.len() > found || is_secret(&path);
        self.end_of_line(is_hidden);
    }

    /// The names before `=`, if the text has one before this place; goes behind it.
    fn names(&mut self, end: usize) -> Option<Vec<String>> {
        let mut quote = None;
        let mut dots = vec![self.at];
        let found = self.text[self.at..end].char_indices().find(|(at, letter)| {
            match (quote, letter) {
                (None, '"' | '\'') => quote = Some(*letter),
                (Some(open), letter) if open == *letter => quote = None,
                (None, '.') => dots.push(self.at + at + 1),
                _ => {}
            }
            quote.is_none() && matches!(letter, '=' | '#' | '{' | '}' | ',')
        });
        let (equals, _) = found.filter(|(_, letter)| *letter == '=')?;
        let equals = self.at + equals;
        let ends = dots.iter().skip(1).map(|dot| dot - 1).chain([equals]);
        let names = dots
            .iter()
            .zip(ends)
            .map(|(start, end)| plain(&self.text[*start..end]));
        let names = names.collect();
        self.at = equals + 1;
        Some(names)
    }

    /// What follows a value in its line.
    fn end_of_line(&mut self, beside_a_secret: bool) {
        self.skip(|c| c == ' ' || c == '\t' || c == '\r');
        let end = self.line_end();
        if self.peek() == Some('#') {
            self.comment(beside_a_secret);
        } else if self.at < end {
            if beside_a_secret || self.may_have_secrets() {
                self.found.push(self.at..end);
            }
            self.at = end;
        }
    }

    /// A value; one without quotes ends at these characters.
    fn value(&mut self, path: &[String], ends: &[char]) {
        self.skip(|c| c == ' ' || c == '\t');
        match self.peek() {
            Some('"' | '\'') => self.string(path),
            Some('[' | '{') if self.depth == DEPTH_MAX => {
                let end = self.line_end();
                self.found.push(self.at..end);
                self.at = end;
            }
            Some(open @ ('[' | '{')) => {
                self.depth += 1;
                self.nested(path, if open == '[' { ']' } else { '}' });
                self.depth -= 1;
            }
            _ => {
                let rest = self.rest();
                let length = rest.find(ends).unwrap_or(rest.len());
                self.found_value(path, self.at..self.at + length);
                self.at += length;
            }
        }
    }

    fn string(&mut self, path: &[String]) {
        let rest = self.rest();
        let quote = if rest.starts_with('\'') { "'" } else { "\"" };
        let triple = quote.repeat(3);
        let is_long = rest.starts_with(&triple) && rest[3..].contains(&triple);
        let open = if is_long { triple.as_str() } else { quote };
        let content = &rest[open.len()..];
        let mut is_escaped = false;
        let mut length = content.len();
        for (at, letter) in content.char_indices() {
            let is_end = !is_escaped && content[at..].starts_with(open);
            if is_end || (!is_long && letter == '\n') {
                length = at;
                break;
            }
            is_escaped = letter == '\\' && !is_escaped && quote == "\"";
        }
        let start = self.at + open.len();
        self.found_value(path, start..start + length);
        self.at = start + length;
        if self.rest().starts_with(open) {
            self.at += open.len();
        }
    }

    /// A list or an inline table. A line that starts like a heading, or in a list like a key, is behind one that was
    /// not closed.
    fn nested(&mut self, path: &[String], close: char) {
        self.at += 1;
        loop {
            self.skip(|c| c == ' ' || c == '\t' || c == '\r' || c == ',');
            match self.peek() {
                None => return,
                Some('\n') => {
                    let behind = self.rest().trim_start();
                    let line = behind.split('\n').next().unwrap_or_default();
                    if line.starts_with('[') || (close == ']' && starts_like_a_key(line)) {
                        return;
                    }
                    self.at += 1;
                }
                Some('#') => self.comment(is_secret(path)),
                Some(letter) if letter == close => {
                    self.at += 1;
                    return;
                }
                Some(_) if close == ']' => self.item(path),
                Some(_) => match self.names(self.line_end()) {
                    Some(names) => self.item(&[path.to_vec(), names].concat()),
                    None => self.item(path),
                },
            }
        }
    }

    /// A value in brackets; always goes on.
    fn item(&mut self, path: &[String]) {
        let before = self.at;
        self.value(path, &[',', ']', '}', '#', '\n']);
        if self.at == before && !matches!(self.peek(), None | Some('\n' | '#')) {
            self.at += self.peek().map_or(0, char::len_utf8);
        }
    }

    fn found_value(&mut self, path: &[String], value: Range<usize>) {
        let text = &self.text[value.clone()];
        let is_name = || text.chars().all(|c| is_of_a_word(c) || c == '.');
        let is_no_place = path.last().is_some_and(|last| last == "credential") && !is_name();
        if is_secret(path) || is_no_place || text.contains('\n') {
            self.found.push(value);
        } else {
            let secrets = secrets_in(text).into_iter();
            let moved = secrets.map(|one| value.start + one.start..value.start + one.end);
            self.found.extend(moved);
        }
    }
}

fn is_of_a_word(c: char) -> bool {
    c.is_alphanumeric() || c == '-' || c == '_'
}

/// Whether one of the words of a text is a name by which secrets go.
fn mentions_a_secret(text: &str) -> bool {
    text.split(|c: char| !is_of_a_word(c)).any(is_secret_name)
}

/// Whether a line begins with a bare key and `=`.
fn starts_like_a_key(line: &str) -> bool {
    let rest = line.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || "-_.".contains(c));
    rest.len() < line.len() && rest.trim_start().starts_with('=')
}
