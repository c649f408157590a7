//! nftables: the elements of address sets, in what `nft list` prints and in files that define sets.

use std::iter::Peekable;

use crate::data::lists::parser::Parser;
use crate::data::lists::problem::quoted;
use crate::model::duration;
use crate::model::listing::Place;

/// A piece of the text, borrowed from it. The end of a line is one, because it ends a statement.
type Token<'a> = &'a str;

const LINE_END: Token<'_> = "\n";

pub(super) fn read(parser: &mut Parser<'_>) {
    let mut rest = Tokens(parser.text()).peekable();
    // Whether the current set declares elements that are not addresses.
    let mut is_foreign = false;
    let mut has_elements = false;
    // What `nft list` prints of a set without elements: its type, and the end of its braces.
    let mut is_declared = false;
    let mut previous = "";
    while let Some(token) = rest.next() {
        if parser.is_over() {
            return;
        }
        let mut kind = None;
        match token {
            "set" | "map" | "table" => is_foreign = false,
            "type" | "typeof" => {
                is_foreign = !is_of_addresses(&mut rest);
                is_declared |= !is_foreign;
            }
            "include" => parser.fault(
                token,
                "`include` names another file, and a list is one file",
                "make that file a separate list",
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
            // define NAME = { ... }, of addresses or anything else.
            "define" => kind = Some(Kind::Undeclared),
            _ => {}
        }
        if let Some(kind) = kind {
            while rest
                .next_if(|token| !matches!(*token, "{" | ";" | "}" | LINE_END))
                .is_some()
            {}
            if rest.next_if_eq(&"{").is_some() {
                has_elements = true;
                elements(parser, token, &mut rest, kind);
            }
        }
        previous = token;
    }
    parser.is_whole = is_declared && parser.text().trim_end().ends_with('}');
    if !has_elements && !parser.is_whole && !parser.has_faults() {
        parser.fault_at(
            Place { line: 1, column: 1 },
            "it has no set elements",
            "a set's elements look like: elements = { 5.9.0.1, 5.9.1.0/24 }",
        );
    }
}

/// The kind of the elements in a pair of braces.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Addresses,
    /// Not declared: the first element decides for all.
    Undeclared,
    /// Not entries for a list.
    Foreign,
}

/// Whether the words after `type` or `typeof` declare addresses, and nothing besides.
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
    parser: &mut Parser<'a>,
    start: Token<'a>,
    rest: &mut Peekable<Tokens<'a>>,
    kind: Kind,
) {
    let mut element: Vec<Token<'a>> = Vec::new();
    let mut is_foreign = kind == Kind::Foreign;
    let mut is_first = true;
    while !parser.is_over() {
        match rest.next() {
            None => {
                parser.fault(start, "its braces do not end", "fetch it again");
                return;
            }
            Some(LINE_END) => {}
            Some(end @ ("," | "}")) => {
                if let Some(word) = element.first() {
                    if is_first && kind == Kind::Undeclared {
                        is_foreign = !looks_like_address(word);
                    }
                    is_first = false;
                    if is_foreign {
                        parser.skip("elements of sets that do not hold addresses");
                    } else {
                        add(parser, &element);
                    }
                }
                element.clear();
                if end == "}" {
                    return;
                }
            }
            Some("{") => {
                parser.fault(start, "its braces contain braces", "fetch it again");
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
fn add<'a>(parser: &mut Parser<'a>, element: &[Token<'a>]) {
    let Some((address, attributes)) = element.split_first() else {
        return;
    };
    if address.starts_with(['$', '@']) {
        parser.fault(
            address,
            format!(
                "{} is a reference to something defined elsewhere",
                quoted(address)
            ),
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
                    parser.fault(
                        word,
                        format!(
                            "after `{word}` there is {}, which is not a duration",
                            quoted(time)
                        ),
                        "write one such as 1h30m",
                    );
                    return;
                };
                let end = Some(parser.now().saturating_add(parsed.as_secs()));
                if *word == "timeout" {
                    timeout = end;
                } else {
                    left = end;
                }
            }
            "packets" | "bytes" | "comment" => _ = words.next(),
            "counter" | "last" | "used" | "never" => {}
            ":" | "." => {
                parser.fault(
                    word,
                    format!(
                        "{} is only a part of what this element matches",
                        quoted(address)
                    ),
                    "a list takes sets of plain addresses only, not maps or concatenations",
                );
                return;
            }
            other => {
                parser.fault(
                    other,
                    format!("{} is not an attribute of an element", quoted(other)),
                    "elements look like: 5.9.0.1 timeout 1h comment \"why\"",
                );
                return;
            }
        }
    }
    // `expires` is the time left, `timeout` the time from the start.
    parser.add(address, left.or(timeout));
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
            // A backslash continues the line.
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
                    // Other Unicode blanks end a word here; each becomes a token of its own.
                    end.max(first.len_utf8())
                }
            };
            let (token, rest) = rest.split_at_checked(length)?;
            self.0 = rest;
            return Some(token);
        }
    }
}
