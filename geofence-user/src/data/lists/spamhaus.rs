//! Spamhaus DROP, as text (`1.10.16.0/20 ; SBL256894`) and as JSON lines (`{"cidr":"1.10.16.0/20",...}`).

use serde::Deserialize;
use serde_json::value::RawValue;

use super::lines::each_line;
use super::reading::Reading;

/// The text: what follows `;` is a comment.
pub(super) fn text(reading: &mut Reading<'_>) {
    each_line(reading, &[";"], |reading, line| reading.add(line, None));
}

/// A line of the JSON form: a prefix, or what there is to say about all of them.
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
pub(super) fn json(reading: &mut Reading<'_>) {
    let mut records = 0_usize;
    each_line(reading, &[], |reading, line| {
        let record: Record<'_> = match serde_json::from_str(line) {
            Ok(record) => record,
            Err(error) if error.is_data() => {
                let what = "this is no record of DROP";
                reading.fault(line, what, "name the format the list has");
                return;
            }
            Err(error) => {
                let what = if error.is_eof() {
                    "the record ends in the middle"
                } else {
                    "this is not JSON"
                };
                reading.fault(line, what, "fetch it again, or name the format it has");
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
                        let place = reading.place(quoted);
                        reading.add_at(place, &cidr, None);
                    }
                    Err(_) => reading.fault(
                        quoted,
                        "`cidr` is no text",
                        "write a prefix in quotes: \"cidr\":\"1.10.16.0/20\"",
                    ),
                }
            }
            Record { asn: Some(asn), .. } => reading.fault(
                asn.get(),
                "this is about a network by number (ASN-DROP), not about addresses",
                "use the lists drop_v4.json and drop_v6.json",
            ),
            Record {
                kind: Some(kind),
                records: promised,
                ..
            } if kind == "metadata" => {
                if let Some(promised) = promised.filter(|promised| *promised > records) {
                    reading.fault(
                        line,
                        format!(
                            "the last line promises {promised} records, and there are {records}"
                        ),
                        "some were lost: fetch it again",
                    );
                }
            }
            Record { .. } => reading.fault(
                line,
                "this record has no `cidr`",
                "name the format the list has",
            ),
        }
    });
}
