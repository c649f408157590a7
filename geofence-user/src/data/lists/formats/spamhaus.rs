//! Spamhaus DROP, as text (`1.10.16.0/20 ; SBL256894`) and as JSON lines (`{"cidr":"1.10.16.0/20",...}`).

use serde::Deserialize;
use serde_json::value::RawValue;

use super::lines::each_line;
use crate::data::lists::parser::Parser;

/// The text: what follows `;` is a comment.
pub(super) fn text(parser: &mut Parser<'_>) {
    each_line(parser, &[";"], |parser, line| parser.add(line, None));
}

/// A line of the JSON form: a prefix, or the metadata of the list.
#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    cidr: Option<&'a RawValue>,
    asn: Option<&'a RawValue>,
    #[serde(rename = "type")]
    kind: Option<String>,
    records: Option<usize>,
}

/// The JSON lines; the last says how many there are.
pub(super) fn json(parser: &mut Parser<'_>) {
    let mut records = 0_usize;
    each_line(parser, &[], |parser, line| {
        let record: Record<'_> = match serde_json::from_str(line) {
            Ok(record) => record,
            Err(error) if error.is_data() => {
                let what = "this is not a DROP record";
                parser.fault(line, what, "name the format the list has");
                return;
            }
            Err(error) => {
                let what = if error.is_eof() {
                    "the record ends in the middle"
                } else {
                    "this is not JSON"
                };
                parser.fault(line, what, "fetch it again, or name the format it has");
                return;
            }
        };
        match record {
            Record {
                cidr: Some(cidr), ..
            } => {
                records += 1;
                let quoted = cidr.get();
                match serde_json::from_str::<String>(quoted) {
                    Ok(cidr) => {
                        let place = parser.place(quoted);
                        parser.add_at(place, &cidr, None);
                    }
                    Err(_) => parser.fault(
                        quoted,
                        "`cidr` is not text",
                        "write a prefix in quotes: \"cidr\":\"1.10.16.0/20\"",
                    ),
                }
            }
            Record { asn: Some(asn), .. } => parser.fault(
                asn.get(),
                "this is about a network by number (ASN-DROP), not about addresses",
                "use the lists drop_v4.json and drop_v6.json",
            ),
            Record {
                kind: Some(kind),
                records: promised,
                ..
            } if kind == "metadata" => {
                parser.is_whole = promised.is_some();
                if let Some(promised) = promised.filter(|promised| *promised > records) {
                    parser.fault(
                        line,
                        format!(
                            "the last line promises {promised} records, and there are {records}"
                        ),
                        "some were lost: fetch it again",
                    );
                }
            }
            Record { .. } => parser.fault(
                line,
                "this record has no `cidr`",
                "name the format the list has",
            ),
        }
    });
}
