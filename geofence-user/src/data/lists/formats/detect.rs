//! Which function reads which format, and which format a text has.

use super::{crowdsec, feodo, lines, misp, nftables, spamhaus, stix};
use crate::data::lists::parser::Parser;
use crate::data::lists::problem::Problem;
use crate::model::list::Format;
use crate::model::word::Word as _;

/// The function that reads a format.
pub(in crate::data::lists) fn parser_of(format: Format) -> fn(&mut Parser<'_>) {
    match format {
        Format::Auto | Format::Plain => lines::plain,
        Format::Netset => lines::netset,
        Format::Ipset => lines::ipset,
        Format::Spamhaus => spamhaus::text,
        Format::SpamhausJson => spamhaus::json,
        Format::Feodo => feodo::read,
        Format::Crowdsec => crowdsec::read,
        Format::Stix => stix::read,
        Format::Misp => misp::read,
        Format::Nftables => nftables::read,
    }
}

/// Whether the start of a text has what only this format has.
fn has_signature(format: Format, start: &Start<'_>) -> bool {
    let has = |signature: &str| start.dense.contains(signature);
    let is_json = start.dense.starts_with(['{', '[']);
    match format {
        Format::Auto => false,
        Format::Plain => {
            let first = start.first_line;
            first.starts_with(|c: char| c.is_ascii_hexdigit() || c == ':')
                && !first.starts_with("add ")
                && !first.starts_with("define ")
                && !has("addelement")
                && !has("elements={")
        }
        Format::Netset => has("#ipv4hash:netipset") || has("#ipv6hash:netipset"),
        Format::Ipset => {
            has("#ipv4hash:ipipset")
                || has("#ipv6hash:ipipset")
                || start.first_line.starts_with("create ")
                || (start.first_line.starts_with("add ") && !has("addelement"))
        }
        Format::Spamhaus => start.text.starts_with(';') && has(";SBL"),
        Format::SpamhausJson => is_json && has("{\"cidr\":"),
        Format::Feodo => !is_json && has("dst_ip"),
        Format::Crowdsec => {
            is_json && (has("\"decisions\":") || (has("\"scope\":") && has("\"value\":")))
        }
        Format::Stix => is_json && (has("\"type\":\"bundle\"") || has("\"type\":\"indicator\"")),
        Format::Misp => {
            is_json && (has("\"Event\":{") || has("\"Attribute\":[") || has("\"response\":"))
        }
        Format::Nftables => !is_json && (has("elements={") || has("addelement") || has("={")),
    }
}

/// The start of a text.
struct Start<'a> {
    text: &'a str,
    /// The text without blanks.
    dense: String,
    /// The first line that is not a comment.
    first_line: &'a str,
}

/// The only format whose signature a text has.
pub(in crate::data::lists) fn detect(text: &str) -> Result<Format, Problem> {
    /// Headings are shorter, and the other signatures are in the first item.
    const HEAD: usize = 16 << 10;
    let text = text.trim_start();
    let text = text.get(..text.floor_char_boundary(HEAD)).unwrap_or(text);
    let is_comment = |line: &str| line.is_empty() || line.starts_with(['#', ';', '/', '"']);
    let mut lines = text.lines().map(str::trim);
    let start = Start {
        text,
        dense: text.split_whitespace().collect(),
        first_line: lines.find(|line| !is_comment(line)).unwrap_or_default(),
    };
    let words = Format::WORDS.iter();
    let mut found: Vec<_> = words
        .filter(|(_, format, _)| has_signature(*format, &start))
        .collect();
    // The formats with a heading are lines of addresses as well.
    if found.len() > 1 {
        found.retain(|(_, format, _)| *format != Format::Plain);
    }
    let what = match found.as_slice() {
        [(_, format, _)] => return Ok(*format),
        // Comments alone.
        [] if start.first_line.is_empty() => return Ok(Format::Plain),
        [] => "its format is not recognised".to_owned(),
        several => {
            let names: Vec<_> = several.iter().map(|(name, _, _)| *name).collect();
            format!("it could be {}", names.join(" or "))
        }
    };
    let help = "name its format in the configuration: format = \"...\"";
    Err(Problem::new(what, help))
}
