//! The formats that lists come in, by name and by looks.

use super::reading::Reading;
use super::{crowdsec, feodo, lines, misp, nftables, spamhaus, stix};
use crate::model::list::Format;
use crate::model::word::Word as _;

impl Format {
    /// What reads it.
    pub(super) fn reader(self) -> fn(&mut Reading<'_>) {
        match self {
            Self::Auto | Self::Plain => lines::plain,
            Self::Netset => lines::netset,
            Self::Ipset => lines::ipset,
            Self::Spamhaus => spamhaus::text,
            Self::SpamhausJson => spamhaus::json,
            Self::Feodo => feodo::read,
            Self::Crowdsec => crowdsec::read,
            Self::Stix => stix::read,
            Self::Misp => misp::read,
            Self::Nftables => nftables::read,
        }
    }

    /// Whether a text's beginning has what only this format has.
    fn is_marked(self, start: &Start<'_>) -> bool {
        let has = |mark: &str| start.dense.contains(mark);
        let is_json = start.dense.starts_with(['{', '[']);
        match self {
            Self::Auto => false,
            Self::Plain => {
                start
                    .first_line
                    .starts_with(|c: char| c.is_ascii_hexdigit() || c == ':')
                    && !has("addelement")
                    && !start.first_line.starts_with("add ")
                    && !has("elements={")
                    && !start.first_line.starts_with("define ")
            }
            Self::Netset => has("#ipv4hash:netipset") || has("#ipv6hash:netipset"),
            Self::Ipset => {
                has("#ipv4hash:ipipset")
                    || has("#ipv6hash:ipipset")
                    || start.first_line.starts_with("create ")
                    || (start.first_line.starts_with("add ") && !has("addelement"))
            }
            Self::Spamhaus => start.text.starts_with(';') && has(";SBL"),
            Self::SpamhausJson => is_json && has("{\"cidr\":"),
            Self::Feodo => !is_json && has("dst_ip"),
            Self::Crowdsec => {
                is_json && (has("\"decisions\":") || (has("\"scope\":") && has("\"value\":")))
            }
            Self::Stix => is_json && (has("\"type\":\"bundle\"") || has("\"type\":\"indicator\"")),
            Self::Misp => {
                is_json && (has("\"Event\":{") || has("\"Attribute\":[") || has("\"response\":"))
            }
            Self::Nftables => !is_json && (has("elements={") || has("addelement") || has("={")),
        }
    }
}

/// The beginning of a text.
struct Start<'a> {
    text: &'a str,
    /// Without blanks.
    dense: String,
    /// The first line that is no comment.
    first_line: &'a str,
}

/// The format that a text has the marks of, if it is one alone.
pub(super) fn detect(text: &str) -> Result<Format, (String, String)> {
    /// Headings are shorter, and the marks of the others are in their first item.
    const LOOKED_AT: usize = 16 << 10;
    let text = text.trim_start();
    let text = text
        .get(..text.floor_char_boundary(LOOKED_AT))
        .unwrap_or(text);
    let lines = text.lines().map(str::trim);
    let is_comment = |line: &str| line.is_empty() || line.starts_with(['#', ';', '/', '"']);
    let start = Start {
        text,
        dense: text.split_whitespace().collect(),
        first_line: lines
            .into_iter()
            .find(|line| !is_comment(line))
            .unwrap_or_default(),
    };
    let words = Format::WORDS.iter();
    let mut found: Vec<_> = words
        .filter(|(_, format, _)| format.is_marked(&start))
        .collect();
    // What has the marks of a format with headings is plain besides.
    if found.len() > 1 {
        found.retain(|(_, format, _)| *format != Format::Plain);
    }
    match found.as_slice() {
        [(_, format, _)] => Ok(*format),
        [] => Err((
            "it has the marks of no format there is".to_owned(),
            "name its format in the configuration: format = \"...\"".to_owned(),
        )),
        several => {
            let names: Vec<_> = several.iter().map(|(name, _, _)| *name).collect();
            Err((
                format!("it could be {}", names.join(" or ")),
                "name its format in the configuration: format = \"...\"".to_owned(),
            ))
        }
    }
}
