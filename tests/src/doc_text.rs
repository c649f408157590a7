//! Commands in the documentation, and what they print there, as both are compared with what happens.
//!
//! Numbers, times and widths differ from day to day, so they are compared as `N` and as one blank.

/// The words of a command; double quotes hold some together.
#[must_use]
pub fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (at, part) in command.split('"').enumerate() {
        if at % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

/// A line as it is compared.
#[must_use]
pub fn plain(line: &str) -> String {
    let mut out = String::new();
    for word in line.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        if word.contains("0x") && !word.contains("0x0800") {
            out.push_str("0xN");
            continue;
        }
        // Amounts of bytes, in whichever unit.
        if ["kB", "MB", "GB"].contains(&word) {
            out.push('B');
            continue;
        }
        for letter in word.chars() {
            let letter = match letter {
                digit if digit.is_ascii_digit() => 'N',
                '═' => '─',
                other => other,
            };
            let is_long = matches!(letter, 'N' | '─') && out.ends_with(letter);
            if !is_long {
                out.push(letter);
            }
        }
        while out.contains("N,N") {
            out = out.replace("N,N", "N");
        }
        // A time has no fraction when that is zero.
        out = out.replace("N.NZ", "NZ");
    }
    out
}

/// Whether what came is what is printed, of which `[...]` stands for any lines.
#[must_use]
pub fn is_same(came: &[String], printed: &[String]) -> bool {
    let mut rest = came;
    let parts: Vec<_> = printed.split(|line| line == "[...]").collect();
    for (at, part) in parts.iter().enumerate() {
        let place = rest
            .windows(part.len().max(1))
            .position(|window| window == *part);
        let is_end =
            at + 1 < parts.len() || place.is_some_and(|place| place + part.len() == rest.len());
        match place {
            _ if part.is_empty() => {}
            Some(place) if (at > 0 || place == 0) && is_end => rest = &rest[place + part.len()..],
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_blanks_and_what_is_left_out_may_differ() {
        let lines = |text: &str| text.lines().map(plain).collect::<Vec<_>>();
        let came = lines("a  12\nb\nc 3,456\nd");
        for printed in [
            "a 7\nb\nc 1\nd",
            "a 7\n[...]\nd",
            "[...]\nc 1\nd",
            "a 1\n[...]",
        ] {
            assert!(is_same(&came, &lines(printed)), "{printed}");
        }
        for other in ["a 7\nb\nc 1", "b\n[...]", "[...]\nc 1", "a x\n[...]"] {
            assert!(!is_same(&came, &lines(other)), "{other}");
        }
        assert_eq!(words("a \"b c\" d"), ["a", "b c", "d"]);
        assert_eq!(plain("12:00:01.250Z"), plain("12:00:01Z"));
    }
}
