//! Rust source as a reader of rules sees it: comments, strings and character literals blanked out.
//!
//! Not a parser. It knows as much of the language as it takes not to find `unsafe` in a sentence about it.

/// Returns the source with everything that is not code replaced by spaces; lines stay where they are.
pub(crate) fn code_only(source: &str) -> String {
    let letters: Vec<char> = source.chars().collect();
    let mut code = String::with_capacity(source.len());
    let mut at = 0;
    let mut in_word = false;
    while let Some(&letter) = letters.get(at) {
        let length = match literal_or_comment(&letters[at..], in_word) {
            Some(length) => {
                let blanked = letters[at..].iter().take(length);
                code.extend(blanked.map(|&letter| if letter == '\n' { '\n' } else { ' ' }));
                length
            }
            None => {
                code.push(letter);
                1
            }
        };
        in_word = length == 1 && is_word(letter);
        at += length;
    }
    code
}

/// Decides whether a line of code contains a word on its own.
pub(crate) fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(is_word) && !line[at + word.len()..].starts_with(is_word)
    })
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Measures the comment, string or character literal that begins here, if one does.
fn literal_or_comment(rest: &[char], in_word: bool) -> Option<usize> {
    match rest {
        ['/', '/', ..] => Some(
            rest.iter()
                .position(|&letter| letter == '\n')
                .unwrap_or(rest.len()),
        ),
        ['/', '*', ..] => Some(block_comment(rest)),
        ['"', ..] => Some(closed_by(rest, '"', 1)),
        ['\'', '\\', ..] => Some(closed_by(rest, '\'', 1)),
        ['\'', _, '\'', ..] => Some(3),
        ['r' | 'b' | 'c', ..] if !in_word => raw_string(rest),
        _ => None,
    }
}

fn block_comment(rest: &[char]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => depth += 1,
            ['*', '/', ..] => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// Measures up to the closing letter, a backslash protecting the letter after it.
fn closed_by(rest: &[char], close: char, from: usize) -> usize {
    let mut at = from;
    while let Some(&letter) = rest.get(at) {
        match letter {
            '\\' => at += 2,
            _ if letter == close => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Measures `r"..."`, `r#"..."#`, `br"..."` and their kin; a raw identifier is none.
fn raw_string(rest: &[char]) -> Option<usize> {
    let after_r = rest.iter().take(2).position(|&letter| letter == 'r')? + 1;
    let hashes = rest[after_r..]
        .iter()
        .take_while(|&&letter| letter == '#')
        .count();
    let opening = after_r + hashes;
    if rest.get(opening) != Some(&'"') {
        return None;
    }
    let close: Vec<char> = std::iter::once('"')
        .chain(std::iter::repeat_n('#', hashes))
        .collect();
    let body = &rest[opening + 1..];
    let end = body.windows(close.len()).position(|window| window == close);
    Some(end.map_or(rest.len(), |end| opening + 1 + end + close.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asserts what is left of a source, runs of spaces read as one.
    fn leaves(source: &str, code: &str) {
        let left = code_only(source);
        assert_eq!(
            left.split_whitespace().collect::<Vec<_>>().join(" "),
            code,
            "from {source}"
        );
        assert_eq!(left.lines().count(), source.lines().count());
        assert_eq!(left.chars().count(), source.chars().count());
    }

    #[test]
    fn comments_go() {
        leaves("a // gone\nb", "a b");
        leaves("a /* gone /* nested */ gone\n gone */ b", "a b");
        leaves("/* never closed", "");
    }

    #[test]
    fn literals_go() {
        leaves(r#"f("gone \" gone", b"gone") + 1"#, "f( , b ) + 1");
        leaves("f(r#\"gone \" gone\"#, br\"gone\\\") + 1", "f( , ) + 1");
        leaves(r"('x', '\'', '\\', b'x') y", "( , , , b ) y");
        leaves("'\"' + a", "+ a");
    }

    #[test]
    fn code_stays() {
        leaves(
            "fn f<'a>(x: &'a str, r#type: u8) -> &'a str",
            "fn f<'a>(x: &'a str, r#type: u8) -> &'a str",
        );
        leaves("for r in br { bar }", "for r in br { bar }");
        leaves("a / b * c", "a / b * c");
    }

    #[test]
    fn words_are_whole() {
        assert!(has_word("    unsafe { x }", "unsafe"));
        assert!(has_word("unsafe_op; unsafe", "unsafe"));
        assert!(!has_word("#![deny(unsafe_code)]", "unsafe"));
        assert!(!has_word("not_unsafe", "unsafe"));
    }
}
