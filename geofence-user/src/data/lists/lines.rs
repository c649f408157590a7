//! Lists of one address, prefix or range a line, and what `ipset save` writes.

use super::address::shown;
use super::reading::Reading;

/// Addresses with comments of any of the usual kinds.
pub(super) fn plain(reading: &mut Reading<'_>) {
    each_line(reading, &["#", ";", "//"], entry);
}

/// FireHOL's netset, whose heading says how many entries follow.
pub(super) fn netset(reading: &mut Reading<'_>) {
    each_line(reading, &["#"], entry);
    check_heading(reading);
}

/// FireHOL's ipset, or the commands that `ipset restore` takes.
pub(super) fn ipset(reading: &mut Reading<'_>) {
    each_line(reading, &["#"], |reading, line| {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("create" | "-N" | "flush" | "-F") => {}
            Some("add" | "-A") => command(reading, line, words),
            _ => entry(reading, line),
        }
    });
    check_heading(reading);
}

/// Calls `read` with every line that has more than a comment, without its comment.
pub(super) fn each_line<'a>(
    reading: &mut Reading<'a>,
    comments: &[&str],
    mut read: impl FnMut(&mut Reading<'a>, &'a str),
) {
    for line in reading.text().lines() {
        if reading.is_over() {
            return;
        }
        let end = comments.iter().filter_map(|mark| line.find(mark)).min();
        let line = end.and_then(|end| line.get(..end)).unwrap_or(line).trim();
        if !line.is_empty() {
            read(reading, line);
        }
    }
}

fn entry(reading: &mut Reading<'_>, line: &str) {
    // A range may have blanks around its dash.
    match line.split_once(char::is_whitespace) {
        Some((word, more)) if !line.contains('-') => {
            let more = more.trim();
            reading.fault(
                more,
                format!("behind {} there is {}", shown(word), shown(more)),
                "a line has one address, prefix or range, and `#` before anything else",
            );
        }
        _ => reading.add(line, None),
    }
}

/// `add SET ADDRESS [timeout SECONDS] [packets N] [bytes N] [comment "TEXT"]`.
fn command<'a>(reading: &mut Reading<'a>, line: &'a str, mut words: std::str::SplitWhitespace<'a>) {
    let (Some(_), Some(address)) = (words.next(), words.next()) else {
        reading.fault(
            line,
            format!("{} adds nothing", shown(line)),
            "write: add SET ADDRESS",
        );
        return;
    };
    let mut expires = None;
    while let Some(word) = words.next() {
        match word {
            "timeout" => match words.next().map(|time| (time, time.parse::<u64>())) {
                // Zero is ipset's way of saying never.
                Some((_, Ok(0))) => {}
                Some((_, Ok(seconds))) => expires = Some(reading.now.saturating_add(seconds)),
                Some((time, Err(_))) => reading.fault(
                    time,
                    format!("{} is no timeout", shown(time)),
                    "write a number of seconds",
                ),
                None => reading.fault(line, "the timeout is missing", "write a number of seconds"),
            },
            "nomatch" => {
                reading.fault(
                    word,
                    "`nomatch` takes a part out of another entry, which no list here can do",
                    "write the parts that remain",
                );
            }
            "packets" | "bytes" | "skbmark" | "skbprio" | "skbqueue" => {
                _ = words.next();
            }
            // A comment is the last there is.
            "comment" | "-exist" => break,
            other => reading.fault(
                other,
                format!("{} is nothing that `ipset save` writes", shown(other)),
                "write: add SET ADDRESS timeout SECONDS",
            ),
        }
    }
    reading.add(address, expires);
}

/// Holds the number of entries against `# Entries : 3753 subnets, 611405121 unique IPs`.
fn check_heading(reading: &mut Reading<'_>) {
    let text = reading.text();
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
    let found = reading.count();
    if found < promised && !reading.has_faults() {
        reading.fault(
            said,
            format!("its heading promises {promised} entries, and there are {found}"),
            "it was cut short: fetch it again",
        );
    }
}
