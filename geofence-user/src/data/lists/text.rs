//! The bytes of a list as text, or what they are instead: an archive, a web page, nothing.

use std::borrow::Cow;

use super::problem::Problem;

/// The first bytes of packed files, each with its format and the tool that unpacks it.
const PACKED: [(&[u8], &str, &str); 5] = [
    (b"\x1f\x8b", "gzip", "gunzip FILE"),
    (b"BZh", "bzip2", "bunzip2 FILE"),
    (b"\xfd7zXZ\0", "xz", "unxz FILE"),
    (b"\x28\xb5\x2f\xfd", "zstd", "unzstd FILE"),
    (b"PK\x03\x04", "zip", "unzip FILE"),
];

/// How many bytes of markup are searched for a web page's first tag.
const PAGE_HEAD: usize = 2048;

/// Decodes a list. A character that is not UTF-8 is replaced, because a comment may be in any encoding; where a
/// character matters, the format refuses the replacement.
pub(super) fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, Problem> {
    let packed = PACKED.iter().find(|(magic, ..)| bytes.starts_with(magic));
    if let Some((_, format, tool)) = packed {
        return Err(Problem::new(
            format!("this is a file packed with {format}"),
            format!("unpack it first, with `{tool}`"),
        ));
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(Problem::new("this is UTF-16 text", "save it as UTF-8"));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.contains(&0) {
        return Err(Problem::new(
            "there are zero bytes in it, so it is not text",
            "check that it is the list, whole and not packed",
        ));
    }
    let text = String::from_utf8_lossy(bytes);
    let start = text.trim_start();
    if start.is_empty() {
        return Err(Problem::new(
            "it is empty",
            "check that its source still gives a list, and fetch it again",
        ));
    }
    if start.starts_with('<') {
        let head = start.get(..PAGE_HEAD).unwrap_or(start);
        let what = if head.to_ascii_lowercase().contains("<html") {
            "this is a web page (HTML), not a list"
        } else {
            "this is HTML or XML, not a list"
        };
        return Err(Problem::new(
            what,
            "the source wants a login, has moved or answers with an error: open its address in a browser to see which",
        ));
    }
    Ok(text)
}
