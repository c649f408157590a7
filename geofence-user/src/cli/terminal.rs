//! Where commands write: names and paths from files reach a terminal without what would steer it.

use std::io::{self, Write};

use crate::model::text::printable;

/// Writes text with `printable`, also where a character comes in two parts.
pub struct Terminal<W: Write> {
    inner: W,
    /// The first bytes of a character that is not whole yet.
    begun: Vec<u8>,
}

impl<W: Write> Terminal<W> {
    pub fn new(inner: W) -> Self {
        Self {
            inner,
            begun: Vec::new(),
        }
    }

    /// Writes what is whole of these bytes, and keeps the rest.
    fn put(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (text, rest) = match str::from_utf8(bytes) {
                Ok(text) => (text, &[][..]),
                Err(error) => {
                    let (whole, rest) = bytes.split_at(error.valid_up_to());
                    let whole = str::from_utf8(whole).unwrap_or_default();
                    match error.error_len() {
                        Some(length) => {
                            self.inner.write_all(printable(whole).as_bytes())?;
                            let (broken, rest) = rest.split_at(length);
                            write!(self.inner, "{}", broken.escape_ascii())?;
                            bytes = rest;
                            continue;
                        }
                        None => (whole, rest),
                    }
                }
            };
            self.inner.write_all(printable(text).as_bytes())?;
            rest.clone_into(&mut self.begun);
            return Ok(());
        }
        Ok(())
    }
}

impl<W: Write> Write for Terminal<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.begun.is_empty() {
            self.put(bytes)?;
        } else {
            let mut all = std::mem::take(&mut self.begun);
            all.extend_from_slice(bytes);
            self.put(&all)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_escaped_however_it_is_cut() {
        let text = "a\u{1b}[2J é\u{202e}b\n";
        for cut in 0..=text.len() {
            let mut out = Vec::new();
            let mut terminal = Terminal::new(&mut out);
            let (one, other) = text.as_bytes().split_at(cut);
            terminal.write_all(one).unwrap();
            terminal.write_all(other).unwrap();
            assert_eq!(str::from_utf8(&out), Ok("a\\u001b[2J é\\u202eb\n"), "{cut}");
        }
        let mut out = Vec::new();
        Terminal::new(&mut out).write_all(b"a\xff\x9bz").unwrap();
        assert_eq!(out, br"a\xff\x9bz");
    }
}
