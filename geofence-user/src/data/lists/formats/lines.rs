//! Lists of one address, prefix or range a line, and what `ipset save` writes.

use crate::data::lists::parser::Parser;
use crate::data::lists::problem::quoted;

/// Addresses, with comments of any usual kind.
pub(super) fn plain(parser: &mut Parser<'_>) {
    each_line(parser, &["#", ";", "//"], entry);
}

/// FireHOL's netset, whose heading says how many entries follow.
pub(super) fn netset(parser: &mut Parser<'_>) {
    each_line(parser, &["#"], entry);
    check_heading(parser);
}

/// FireHOL's ipset, or the commands that `ipset restore` takes.
pub(super) fn ipset(parser: &mut Parser<'_>) {
    each_line(parser, &["#"], |parser, line| {
        let mut words = line.split_whitespace();
        match words.next() {
            // A set that is created or emptied and gets no entries.
            Some("create" | "-N" | "flush" | "-F") => parser.is_whole = true,
            Some("add" | "-A") => command(parser, line, words),
            _ => entry(parser, line),
        }
    });
    check_heading(parser);
}

/// Calls `read` with each line that is more than a comment, without its comment.
pub(super) fn each_line<'a>(
    parser: &mut Parser<'a>,
    comments: &[&str],
    mut read: impl FnMut(&mut Parser<'a>, &'a str),
) {
    for line in parser.text().lines() {
        if parser.is_over() {
            return;
        }
        let end = comments.iter().filter_map(|mark| line.find(mark)).min();
        let line = end.and_then(|end| line.get(..end)).unwrap_or(line).trim();
        if !line.is_empty() {
            read(parser, line);
        }
    }
}

fn entry(parser: &mut Parser<'_>, line: &str) {
    // A range may have blanks around its dash.
    match line.split_once(char::is_whitespace) {
        Some((word, more)) if !line.contains('-') => {
            let more = more.trim();
            parser.fault(
                more,
                format!("after {} there is {}", quoted(word), quoted(more)),
                "a line has one address, prefix or range, and `#` before anything else",
            );
        }
        _ => parser.add(line, None),
    }
}

/// `add SET ADDRESS [timeout SECONDS] [packets N] [bytes N] [comment "TEXT"]`.
fn command<'a>(parser: &mut Parser<'a>, line: &'a str, mut words: std::str::SplitWhitespace<'a>) {
    let (Some(_), Some(address)) = (words.next(), words.next()) else {
        parser.fault(
            line,
            format!("{} adds nothing", quoted(line)),
            "write: add SET ADDRESS",
        );
        return;
    };
    let mut expires = None;
    while let Some(word) = words.next() {
        match word {
            "timeout" => match words.next().map(|time| (time, time.parse::<u64>())) {
                // In ipset, zero means never.
                Some((_, Ok(0))) => {}
                Some((_, Ok(seconds))) => expires = Some(parser.now().saturating_add(seconds)),
                Some((time, Err(_))) => parser.fault(
                    time,
                    format!("{} is not a timeout", quoted(time)),
                    "write a number of seconds",
                ),
                None => parser.fault(line, "the timeout is missing", "write a number of seconds"),
            },
            "nomatch" => {
                parser.fault(
                    word,
                    "`nomatch` excludes a part of another entry, which geofence does not support",
                    "write the parts that remain",
                );
            }
            "packets" | "bytes" | "skbmark" | "skbprio" | "skbqueue" => {
                _ = words.next();
            }
            // A comment is the last attribute.
            "comment" | "-exist" => break,
            other => parser.fault(
                other,
                format!(
                    "{} is not something that `ipset save` writes",
                    quoted(other)
                ),
                "write: add SET ADDRESS timeout SECONDS",
            ),
        }
    }
    parser.add(address, expires);
}

/// Compares the number of entries with `# Entries : 3753 subnets, 611405121 unique IPs`.
fn check_heading(parser: &mut Parser<'_>) {
    let text = parser.text();
    let comments = text.lines().map_while(|line| {
        line.trim()
            .strip_prefix('#')
            .or(line.is_empty().then_some(""))
    });
    let Some(said) = comments.into_iter().find_map(|comment| {
        let (name, value) = comment.split_once(':')?;
        (name.trim() == "Entries").then_some(value.trim())
    }) else {
        return;
    };
    let digits = said.split_whitespace().next().unwrap_or_default();
    let Ok(promised) = digits.replace(',', "").parse::<usize>() else {
        return;
    };
    let found = parser.count();
    parser.is_whole = true;
    if found < promised && !parser.has_faults() {
        parser.fault(
            said,
            format!("its heading promises {promised} entries, and there are {found}"),
            "it was cut short: fetch it again",
        );
    }
}
