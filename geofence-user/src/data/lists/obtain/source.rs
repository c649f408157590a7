//! Asking the source of a list, whatever it is.

use super::obtained::{Failure, Obtained, Progress, base, request};
use super::{crowdsec, misp, taxii};
use crate::data::fetch::{Fetched, Request, Secrets, Validators, fetch};
use crate::data::lists::source_file::read_file;
use crate::data::lists::store::StoredList;
use crate::model::list::{Api, Definition, Source};
use crate::model::units::UnixSeconds;

/// Asks the source; nothing if it still gives the stored text. `fresh` asks for all of it, whatever is stored.
pub(in crate::data::lists) fn obtain(
    definition: &Definition,
    secrets: &Secrets,
    stored: Option<&StoredList>,
    fresh: bool,
    now: UnixSeconds,
    progress: Progress<'_>,
) -> Result<Option<Obtained>, Failure> {
    let url = match &definition.source {
        Source::File(path) => {
            let (text, since) = read_file(path)?;
            return Ok(Some(Obtained {
                text,
                since,
                ..Obtained::default()
            }));
        }
        Source::Url(url) => url.as_str(),
    };
    let base = base(definition, stored, now).filter(|_| !fresh);
    match definition.api {
        Api::None => plain(url, secrets, stored, fresh, now, progress),
        Api::Crowdsec => crowdsec::obtain(url, secrets, base, now, progress),
        Api::Taxii => taxii::obtain(url, secrets, base, now, progress),
        Api::Misp => misp::obtain(url, secrets, now, progress).map(Some),
    }
}

fn plain(
    url: &str,
    secrets: &Secrets,
    stored: Option<&StoredList>,
    fresh: bool,
    now: UnixSeconds,
    progress: Progress<'_>,
) -> Result<Option<Obtained>, Failure> {
    // A text from another URL says nothing about this one.
    let known = stored.filter(|stored| !fresh && stored.header.source == *url);
    let known = known.map(|stored| Validators {
        etag: stored.header.etag.clone(),
        last_modified: stored.header.last_modified.clone(),
    });
    let request = Request {
        known: known.unwrap_or_default(),
        ..request(url, secrets)
    };
    match fetch(&request, progress)? {
        Fetched::Unchanged if stored.is_some() => Ok(None),
        Fetched::Unchanged => Err(Failure::from(format!(
            "{url}: the server says that nothing has changed, but nothing was fetched before; ask its operator"
        ))),
        Fetched::Text(text) => Ok(Some(Obtained {
            text: text.bytes,
            validators: text.validators,
            since: now,
            ..Obtained::default()
        })),
    }
}
