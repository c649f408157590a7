//! The REST interface of MISP: a search for the attributes about addresses, page by page.
//!
//! What is stored is the answer to one search that found them all.

use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use super::obtained::{Failure, Obtained, Progress, request};
use super::pages::Pages;
use crate::data::fetch::{Fetched, Request, Secrets, fetch};
use crate::model::units::UnixSeconds;

/// The attributes of a page.
const PAGE: usize = 5000;

#[derive(Deserialize, Serialize)]
struct Answer {
    response: Found,
}

#[derive(Deserialize, Serialize)]
struct Found {
    #[serde(rename = "Attribute")]
    attributes: Vec<Box<RawValue>>,
}

pub(super) fn obtain(
    url: &str,
    secrets: &Secrets,
    now: UnixSeconds,
    progress: Progress<'_>,
) -> Result<Obtained, Failure> {
    let search = format!("{}/attributes/restSearch", url.trim_end_matches('/'));
    let mut pages = Pages::new(url);
    let mut attributes = Vec::new();
    for page in 1.. {
        let wanted = json!({
            "returnFormat": "json",
            "type": ["ip-src", "ip-dst", "ip-src|port", "ip-dst|port", "domain|ip"],
            "to_ids": 1,
            "page": page,
            "limit": PAGE,
        });
        let request = Request {
            accept: Some("application/json"),
            json: Some(wanted.to_string()),
            bytes_max: pages.room(),
            ..request(&search, secrets)
        };
        let done = pages.bytes();
        let Fetched::Text(text) = fetch(&request, &mut |bytes, _| progress(done + bytes, None))?
        else {
            return Err(pages.unreadable("answer to a search of MISP"));
        };
        pages.add(&text.bytes)?;
        let Ok(answer) = serde_json::from_slice::<Answer>(&text.bytes) else {
            return Err(pages.unreadable("answer to a search of MISP"));
        };
        let found = answer.response.attributes;
        let is_last = found.len() < PAGE;
        attributes.extend(found);
        if is_last {
            break;
        }
    }
    let answer = Answer {
        response: Found { attributes },
    };
    Ok(Obtained {
        text: serde_json::to_vec(&answer).unwrap_or_default(),
        since: now,
        ..Obtained::default()
    })
}
