//! nftables: the elements of address sets, in what `nft list` prints and in files that define sets.

use std::iter::Peekable;

use super::address::shown;
use super::reading::Reading;
use crate::model::duration;

/// A piece of the text, which it points into. A line's end is one, because it ends a statement.
type Token<'a> = &'a str;

const LINE_END: Token<'_> = "\n";

pub(super) fn read(reading: &mut Reading<'_>) {
    let mut rest = Tokens(reading.text()).peekable();
    // Whether the set around us says that its elements are something else than addresses.
    let mut is_foreign = false;
    let mut has_elements = false;
    let mut previous = "";
    while let Some(token) = rest.next() {
        if reading.is_over() {
            return;
        }
        let mut kind = None;
        match token {
            "set" | "map" | "table" => is_foreign = false,
            "type" | "typeof" => is_foreign = !is_of_addresses(&mut rest),
            "include" => reading.fault(
                token,
                "`include` names another file, and no list spans several",
                "make that file a list of its own",
            ),
            "elements" => {
                kind = Some(if is_foreign {
                    Kind::Foreign
                } else {
                    Kind::Addresses
                });
            }
            // add element FAMILY TABLE SET { ... }
            "element" if matches!(previous, "delete" | "destroy" | "get") => {
                kind = Some(Kind::Foreign)
            }
            "element" => kind = Some(Kind::Addresses),
            // define NAME = { ... }, of addresses or of anything else.
            "define" => kind = Some(Kind::Unsaid),
            _ => {}
        }
        if let Some(kind) = kind {
            while rest
                .next_if(|token| !matches!(*token, "{" | ";" | "}" | LINE_END))
                .is_some()
            {}
            if rest.next_if_eq(&"{").is_some() {
                has_elements = true;
                elements(reading, token, &mut rest, kind);
            }
        }
        previous = token;
    }
    if !has_elements && !reading.has_faults() {
        reading.fault_at(
            super::Place { line: 1, column: 1 },
            "there are no elements of a set in it",
            "a set's elements look like: elements = { 5.9.0.1, 5.9.1.0/24 }",
        );
    }
}

/// What the elements in a pair of braces are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Addresses,
    /// What they look like, all of them or none.
    Unsaid,
    /// Nothing for a list.
    Foreign,
}

/// Whether the words behind `type` or `typeof` are a type of addresses, alone.
fn is_of_addresses<'a>(rest: &mut Peekable<Tokens<'a>>) -> bool {
    let mut words = Vec::new();
    while let Some(word) = rest.next_if(|token| !matches!(*token, ";" | "}" | "{" | LINE_END)) {
        words.push(word);
    }
    matches!(
        words.as_slice(),
        ["ipv4_addr" | "ipv6_addr"] | ["ip" | "ip6", "saddr" | "daddr"]
    )
}

/// The elements up to the closing brace.
fn elements<'a>(
    reading: &mut Reading<'a>,
    start: Token<'a>,
    rest: &mut Peekable<Tokens<'a>>,
    kind: Kind,
) {
    let mut element: Vec<Token<'a>> = Vec::new();
    let mut is_foreign = kind == Kind::Foreign;
    let mut is_first = true;
    while !reading.is_over() {
        match rest.next() {
            None => {
                reading.fault(start, "the braces behind it do not end", "fetch it again");
                return;
            }
            Some(LINE_END) => {}
            Some(end @ ("," | "}")) => {
                if let Some(word) = element.first() {
                    if is_first && kind == Kind::Unsaid {
                        is_foreign = !looks_like_address(word);
                    }
                    is_first = false;
                    if is_foreign {
                        reading.pass_over("elements of sets of something else than addresses");
                    } else {
                        add(reading, &element);
                    }
                }
                element.clear();
                if end == "}" {
                    return;
                }
            }
            Some("{") => {
                reading.fault(
                    start,
                    "there are braces in the braces behind it",
                    "fetch it again",
                );
                return;
            }
            Some(token) => element.push(token),
        }
    }
}

fn looks_like_address(word: &str) -> bool {
    word.contains(['.', ':']) && word.starts_with(|c: char| c.is_ascii_hexdigit() || c == ':')
}

/// Adds `ADDRESS [timeout D] [expires D] [counter packets N bytes N] [comment "TEXT"]`.
fn add<'a>(reading: &mut Reading<'a>, element: &[Token<'a>]) {
    let Some((address, attributes)) = element.split_first() else {
        return;
    };
    if address.starts_with(['$', '@']) {
        reading.fault(
            address,
            format!("{} stands for something defined elsewhere", shown(address)),
            "write the addresses themselves, or save what `nft list set` prints",
        );
        return;
    }
    let (mut timeout, mut left) = (None, None);
    let mut words = attributes.iter();
    while let Some(word) = words.next() {
        match *word {
            "timeout" | "expires" => {
                let time = words.next().copied().unwrap_or_default();
                let Some(parsed) = duration::parse(time) else {
                    reading.fault(
                        word,
                        format!(
                            "behind `{word}` there is {}, which is no duration",
                            shown(time)
                        ),
                        "write one such as 1h30m",
                    );
                    return;
                };
                let end = Some(reading.now.saturating_add(parsed.as_secs()));
                if *word == "timeout" {
                    timeout = end;
                } else {
                    left = end;
                }
            }
            "packets" | "bytes" | "comment" => _ = words.next(),
            "counter" | "last" | "used" | "never" => {}
            ":" | "." => {
                reading.fault(
                    word,
                    format!("{} is only a part of what this element matches", shown(address)),
                    "a list takes sets of addresses alone; maps and concatenations match more than that",
                );
                return;
            }
            other => {
                reading.fault(
                    other,
                    format!("{} is no attribute of an element", shown(other)),
                    "elements look like: 5.9.0.1 timeout 1h comment \"why\"",
                );
                return;
            }
        }
    }
    // The time that is left says more than the time there was.
    reading.add(address, left.or(timeout));
}

/// The rest of a text, piece by piece.
struct Tokens<'a>(&'a str);

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let rest = self.0.trim_start_matches([' ', '\t', '\r']);
            let first = rest.chars().next()?;
            if first == '#' {
                let end = rest.find('\n').unwrap_or(rest.len());
                self.0 = rest.get(end..)?;
                continue;
            }
            // A line that goes on in the next.
            if let Some(rest) = rest.strip_prefix("\\\n") {
                self.0 = rest;
                continue;
            }
            let length = match first {
                '\n' | '{' | '}' | ',' | ';' | '=' => 1,
                '"' => {
                    let inner = rest.get(1..)?;
                    inner.find('"').map_or(rest.len(), |end| end + 2)
                }
                _ => {
                    let ends = |c: char| {
                        c.is_whitespace() || matches!(c, '{' | '}' | ',' | ';' | '=' | '"')
                    };
                    let end = rest.find(ends).unwrap_or(rest.len());
                    // Blanks of other alphabets are no words, and go by themselves.
                    end.max(first.len_utf8())
                }
            };
            let (token, rest) = rest.split_at_checked(length)?;
            self.0 = rest;
            return Some(token);
        }
    }
}
