//! STIX 2.1: the indicators of a bundle or of a TAXII answer whose patterns name addresses.
//!
//! A pattern that is a choice of addresses becomes entries. A pattern that combines an address with other conditions
//! (AND, FOLLOWEDBY, NOT, qualifiers) is skipped: the address alone is not what it describes.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::time::unix_seconds;
use crate::data::lists::parser::{Parser, is_json_list};

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    objects: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct Object<'a> {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(borrow)]
    pattern: Option<&'a RawValue>,
    pattern_type: Option<String>,
    valid_from: Option<String>,
    valid_until: Option<String>,
    revoked: Option<bool>,
}

/// What distinguishes the versions of one object.
#[derive(Deserialize)]
struct Version {
    id: Option<String>,
    modified: Option<String>,
}

pub(super) fn read(parser: &mut Parser<'_>) {
    let expected = "a STIX bundle";
    let objects = if is_json_list(parser.text()) {
        parser.json::<Vec<&RawValue>>(expected)
    } else {
        let document = parser.json::<Document<'_>>(expected);
        document.and_then(|document| document.objects)
    };
    parser.is_whole = objects.is_some();
    let objects = objects.unwrap_or_default();
    let latest = latest_versions(&objects);
    for (number, item) in objects.iter().enumerate() {
        if parser.is_over() {
            return;
        }
        if latest[number] {
            object(parser, item);
        } else {
            parser.skip("earlier versions of objects");
        }
    }
}

/// Reads a time. A server may write more digits of a second than there are nanoseconds (STIX 2.1, section 2.16); what
/// is beyond counts for nothing.
fn timestamp(text: &str) -> Option<Timestamp> {
    const DIGITS: usize = 9;
    let Some((whole, rest)) = text.split_once('.') else {
        return text.parse().ok();
    };
    let end = rest.find(|one: char| !one.is_ascii_digit());
    let (fraction, zone) = rest.split_at(end.unwrap_or(rest.len()));
    let kept = fraction.get(..DIGITS).unwrap_or(fraction);
    format!("{whole}.{kept}{zone}").parse().ok()
}

/// For each object, whether it is the latest version of its id. Of equal versions, the last one counts.
fn latest_versions(objects: &[&RawValue]) -> Vec<bool> {
    let mut is_latest = vec![true; objects.len()];
    let mut by_id: HashMap<String, (Option<Timestamp>, usize)> = HashMap::new();
    for (number, item) in objects.iter().enumerate() {
        // What is wrong with an object is reported where it is read.
        let Ok(Version {
            id: Some(id),
            modified,
        }) = serde_json::from_str(item.get())
        else {
            continue;
        };
        let modified = modified.and_then(|time| timestamp(&time));
        match by_id.get_mut(&id) {
            Some((before, _)) if modified < *before => is_latest[number] = false,
            Some(before) => {
                is_latest[before.1] = false;
                *before = (modified, number);
            }
            None => {
                by_id.insert(id, (modified, number));
            }
        }
    }
    is_latest
}

fn object<'a>(parser: &mut Parser<'a>, item: &'a RawValue) {
    let Some(read) = parser.item::<Object<'_>>(item, "a STIX object") else {
        return;
    };
    // A bundle also holds identities, relations, reports and more.
    if read.kind.as_deref() != Some("indicator") {
        return;
    }
    if read.pattern_type.is_some_and(|kind| kind != "stix") {
        parser.skip("indicators in a language other than STIX patterns");
        return;
    }
    if read.revoked == Some(true) {
        parser.skip("revoked indicators");
        return;
    }
    let Some(raw) = read.pattern else {
        parser.fault(
            item.get(),
            "this indicator has no `pattern`",
            "fetch it again",
        );
        return;
    };
    let mut time = |text: Option<String>| match text {
        None => Some(None),
        Some(text) => {
            let time = unix_seconds(&text);
            if time.is_none() {
                parser.fault(
                    item.get(),
                    "this indicator's `valid_from` or `valid_until` is not a time",
                    "write a time such as 2026-01-31T12:00:00Z",
                );
            }
            time.map(Some)
        }
    };
    let (Some(from), Some(until)) = (time(read.valid_from), time(read.valid_until)) else {
        return;
    };
    if from.is_some_and(|from| from > parser.now()) {
        parser.skip("indicators that are not valid yet");
        return;
    }
    let Some(pattern) = parser.item::<String>(raw, "a pattern in quotes") else {
        return;
    };
    match addresses(&pattern) {
        Ok(words) if words.is_empty() => {
            parser.skip("indicators about something other than addresses");
        }
        Ok(words) => {
            let place = parser.place(raw.get());
            for word in words {
                parser.add_at(place, &word, until);
            }
        }
        Err(NotPlain::Combined) => {
            parser.skip("indicators that combine an address with other conditions");
        }
        Err(NotPlain::Broken) => parser.fault(
            raw.get(),
            "this is not a STIX pattern",
            "write one such as [ipv4-addr:value = '5.9.0.1']",
        ),
    }
}

/// Why a pattern is not a plain choice of addresses.
#[derive(Debug, PartialEq, Eq)]
enum NotPlain {
    Combined,
    Broken,
}

/// A piece of a pattern.
#[derive(Debug, PartialEq, Eq)]
enum Token {
    Symbol(char),
    Word(String),
    Text(String),
}

/// The addresses among the alternatives of a pattern. As only OR may join them, brackets change nothing.
fn addresses(pattern: &str) -> Result<Vec<String>, NotPlain> {
    let tokens = tokens(pattern).ok_or(NotPlain::Broken)?;
    let mut words = Vec::new();
    let mut rest = tokens.into_iter().peekable();
    let mut open = Vec::new();
    while let Some(token) = rest.next() {
        match token {
            Token::Symbol(symbol @ ('[' | '(')) => open.push(symbol),
            Token::Symbol(']') if open.pop() == Some('[') => {}
            Token::Symbol(')') if open.pop() == Some('(') => {}
            Token::Symbol(_) | Token::Text(_) => return Err(NotPlain::Broken),
            Token::Word(word) if word == "OR" => {}
            Token::Word(path) if path.contains(':') => {
                let is_address = path == "ipv4-addr:value" || path == "ipv6-addr:value";
                let Some(Token::Word(operator)) = rest.next() else {
                    return Err(NotPlain::Broken);
                };
                let mut values = Vec::new();
                match rest.next() {
                    Some(Token::Text(value)) => values.push(value),
                    Some(Token::Symbol('(')) => {
                        while let Some(token) = rest.next_if(|token| *token != Token::Symbol(')')) {
                            if let Token::Text(value) = token {
                                values.push(value);
                            }
                        }
                        _ = rest.next();
                    }
                    // A number or the like, but not an address.
                    Some(Token::Word(_)) if !is_address => {}
                    _ => return Err(NotPlain::Broken),
                }
                match operator.as_str() {
                    "=" | "==" | "IN" | "ISSUBSET" if is_address => words.append(&mut values),
                    _ if is_address => return Err(NotPlain::Combined),
                    _ => {}
                }
            }
            Token::Word(_) => return Err(NotPlain::Combined),
        }
    }
    if open.is_empty() {
        Ok(words)
    } else {
        Err(NotPlain::Broken)
    }
}

/// The pieces of a pattern; `None` if a quoted text in it does not end.
fn tokens(pattern: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '[' | ']' | '(' | ')' | ',' => tokens.push(Token::Symbol(c)),
            '\'' => {
                let mut text = String::new();
                loop {
                    match rest.next()? {
                        '\'' => break,
                        '\\' => text.push(rest.next()?),
                        other => text.push(other),
                    }
                }
                tokens.push(Token::Text(text));
            }
            '=' | '!' | '<' | '>' => {
                let mut operator = String::from(c);
                while let Some(c) = rest.next_if(|c| matches!(c, '=' | '<' | '>')) {
                    operator.push(c);
                }
                tokens.push(Token::Word(operator));
            }
            c if c.is_whitespace() => {}
            c => {
                let mut word = String::from(c);
                let ends = |c: &char| {
                    c.is_whitespace()
                        || matches!(c, '[' | ']' | '(' | ')' | ',' | '=' | '!' | '<' | '>')
                };
                while let Some(c) = rest.next_if(|c| !ends(c)) {
                    // A key of a property may be in quotes, with anything in them.
                    word.push(c);
                    if c == '\'' {
                        loop {
                            let c = rest.next()?;
                            word.push(c);
                            if c == '\'' {
                                break;
                            }
                        }
                    }
                }
                tokens.push(Token::Word(word));
            }
        }
    }
    Some(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stix_pattern_that_is_a_choice_of_addresses_gives_them() {
        for (pattern, expected) in [
            ("[ipv4-addr:value = '5.9.0.1']", Ok(vec!["5.9.0.1"])),
            ("[ipv4-addr:value='5.9.0.1']", Ok(vec!["5.9.0.1"])),
            ("[ipv6-addr:value = '2a01:4f8::1']", Ok(vec!["2a01:4f8::1"])),
            (
                "[ipv4-addr:value = '5.9.0.1' OR ipv4-addr:value = '5.9.0.2']",
                Ok(vec!["5.9.0.1", "5.9.0.2"]),
            ),
            (
                "[ipv4-addr:value = '5.9.0.1'] OR ([ipv4-addr:value ISSUBSET '5.9.1.0/24'])",
                Ok(vec!["5.9.0.1", "5.9.1.0/24"]),
            ),
            (
                "[ipv4-addr:value IN ('5.9.0.1', '5.9.0.2')]",
                Ok(vec!["5.9.0.1", "5.9.0.2"]),
            ),
            (
                "[ipv4-addr:value = '5.9.0.1' OR domain-name:value = 'a.example']",
                Ok(vec!["5.9.0.1"]),
            ),
            ("[domain-name:value = 'it\\'s ] here']", Ok(vec![])),
            ("[file:hashes.'SHA-256' = 'ab']", Ok(vec![])),
            ("[network-traffic:dst_port = 443]", Ok(vec![])),
            (
                "[ipv4-addr:value = '5.9.0.1' AND network-traffic:dst_port = 443]",
                Err(NotPlain::Combined),
            ),
            ("[ipv4-addr:value != '5.9.0.1']", Err(NotPlain::Combined)),
            ("[NOT ipv4-addr:value = '5.9.0.1']", Err(NotPlain::Combined)),
            ("[ipv4-addr:value LIKE '5.9.%']", Err(NotPlain::Combined)),
            (
                "[ipv4-addr:value = '5.9.0.1'] FOLLOWEDBY [ipv4-addr:value = '5.9.0.2']",
                Err(NotPlain::Combined),
            ),
            (
                "[ipv4-addr:value = '5.9.0.1'] REPEATS 5 TIMES",
                Err(NotPlain::Combined),
            ),
            ("[ipv4-addr:value = '5.9.0.1", Err(NotPlain::Broken)),
            ("[ipv4-addr:value = '5.9.0.1')", Err(NotPlain::Broken)),
            ("[ipv4-addr:value = '5.9.0.1'", Err(NotPlain::Broken)),
            ("[ipv4-addr:value", Err(NotPlain::Broken)),
            ("[= '5.9.0.1']", Err(NotPlain::Combined)),
        ] {
            let expected: Result<Vec<_>, _> =
                expected.map(|words| words.into_iter().map(str::to_owned).collect());
            assert_eq!(addresses(pattern), expected, "{pattern}");
        }
    }
}
