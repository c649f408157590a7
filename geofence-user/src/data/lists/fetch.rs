//! Fetching a list from its URL: one conditional request, bounded in time and size.

use std::io::{self, Read as _};
use std::time::Duration;

use ureq::Agent;
use ureq::http::header::{ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use ureq::http::{HeaderName, StatusCode};
use ureq::tls::{RootCerts, TlsConfig};

use super::source_file::LIST_BYTES_MAX;

/// The time to connect, and the time until the answer starts.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// The time for the whole request.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(300);
const REDIRECTS_MAX: u32 = 5;

/// What a server recognises a text by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Validators {
    pub etag: Option<String>,
    pub last_modified: Option<String>,
}

/// A server's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fetched {
    /// The text has not changed.
    Unchanged,
    Text {
        bytes: Vec<u8>,
        validators: Validators,
    },
}

/// Why there is no text.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("{url}: {source}; check that this machine reaches the server, and try again")]
    Http {
        url: String,
        source: Box<ureq::Error>,
    },
    #[error("{url}: the server answers {status}; {help}")]
    Status {
        url: String,
        status: StatusCode,
        help: &'static str,
    },
    #[error(
        "{url}: the answer has more than {} MiB; use a list that is aggregated",
        LIST_BYTES_MAX >> 20
    )]
    TooLarge { url: String },
    #[error("{url}: the answer broke off: {source}; try again")]
    BrokenOff { url: String, source: io::Error },
}

/// Fetches a text, unless it is the one with these validators. `progress` is called with the number of bytes so far and
/// the total, if the server gives one.
pub(super) fn fetch(
    url: &str,
    known: &Validators,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<Fetched, FetchError> {
    let too_large = || FetchError::TooLarge {
        url: url.to_owned(),
    };
    let http = |source| FetchError::Http {
        url: url.to_owned(),
        source: Box::new(source),
    };
    let agent: Agent = Agent::config_builder()
        // A redirection must not downgrade https to http.
        .https_only(url.starts_with("https:"))
        .tls_config(
            TlsConfig::builder()
                .root_certs(RootCerts::PlatformVerifier)
                .build(),
        )
        .timeout_connect(Some(START_TIMEOUT))
        .timeout_recv_response(Some(START_TIMEOUT))
        .timeout_global(Some(TOTAL_TIMEOUT))
        .max_redirects(REDIRECTS_MAX)
        .http_status_as_error(false)
        .user_agent(concat!("geofence/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    let mut request = agent.get(url);
    for (name, value) in [
        (IF_NONE_MATCH, &known.etag),
        (IF_MODIFIED_SINCE, &known.last_modified),
    ] {
        if let Some(value) = value {
            request = request.header(name, value);
        }
    }
    let answer = request.call().map_err(http)?;
    let status = answer.status();
    if status == StatusCode::NOT_MODIFIED {
        return Ok(Fetched::Unchanged);
    }
    if status != StatusCode::OK {
        return Err(FetchError::Status {
            url: url.to_owned(),
            status,
            help: match status.as_u16() {
                401 | 403 => "it wants a login or blocks this machine",
                404 | 410 => "the list has moved: correct `url` in the configuration",
                429 => "it gets too many requests: fetch less often",
                500..=599 => "it is broken at the moment: try again later",
                _ => "open the URL in a browser to see why",
            },
        });
    }
    let header = |name: HeaderName| {
        let value = answer.headers().get(name)?;
        value.to_str().ok().map(ToOwned::to_owned)
    };
    let validators = Validators {
        etag: header(ETAG),
        last_modified: header(LAST_MODIFIED),
    };
    let length = answer.body().content_length();
    if length.is_some_and(|length| length > LIST_BYTES_MAX) {
        return Err(too_large());
    }
    let mut body = answer
        .into_body()
        .into_with_config()
        .limit(u64::MAX)
        .reader();
    let mut bytes = Vec::new();
    let mut part = vec![0; 64 << 10];
    loop {
        match body.read(&mut part) {
            Ok(0) => break,
            Ok(read) => {
                bytes.extend_from_slice(part.get(..read).unwrap_or_default());
                progress(bytes.len() as u64, length);
                if bytes.len() as u64 > LIST_BYTES_MAX {
                    return Err(too_large());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => {
                return Err(FetchError::BrokenOff {
                    url: url.to_owned(),
                    source,
                });
            }
        }
    }
    Ok(Fetched::Text { bytes, validators })
}
