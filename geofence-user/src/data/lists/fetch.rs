//! Bringing a list from its URL: one request, bounded in time and size, that asks only for what is new.

use std::io::{self, Read as _};
use std::time::Duration;

use ureq::http::header::{ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use ureq::http::{HeaderName, Response, StatusCode};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body};

use super::LIST_BYTES_MAX;

/// How long a server may take to be reached and to begin its answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long everything may take.
const PATIENCE_IN_ALL: Duration = Duration::from_secs(300);
const REDIRECTS_MAX: u32 = 5;

/// What the server said by which to know a text again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    pub etag: Option<String>,
    pub last_modified: Option<String>,
}

/// A server's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// What was fetched before is still what it gives.
    Unchanged,
    Text {
        bytes: Vec<u8>,
        validators: Validators,
    },
}

/// Why there is no answer to use.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
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

/// Fetches a text, unless it is the one that these validators belong to. `progress` is told how many bytes have come,
/// and of how many where the server says so.
pub fn fetch(
    url: &str,
    known: &Validators,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<Fetched, FetchError> {
    let http = |source| FetchError::Http {
        url: url.to_owned(),
        source: Box::new(source),
    };
    let agent: Agent = Agent::config_builder()
        // Who asks for https wants no redirection to talk it out of that.
        .https_only(url.starts_with("https:"))
        .tls_config(
            TlsConfig::builder()
                .root_certs(RootCerts::PlatformVerifier)
                .build(),
        )
        .timeout_connect(Some(PATIENCE))
        .timeout_recv_response(Some(PATIENCE))
        .timeout_global(Some(PATIENCE_IN_ALL))
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
                401 | 403 => "it wants a login or has shut this machine out",
                404 | 410 => "the list has moved: correct `url` in the configuration",
                429 => "it is asked too often: fetch less frequently",
                500..=599 => "it is broken at the moment: try again later",
                _ => "open the URL in a browser to see what it is about",
            },
        });
    }
    let header = |name: HeaderName| text_of(&answer, &name);
    let validators = Validators {
        etag: header(ETAG),
        last_modified: header(LAST_MODIFIED),
    };
    let length = answer.body().content_length();
    if length.is_some_and(|length| length > LIST_BYTES_MAX) {
        return Err(FetchError::TooLarge {
            url: url.to_owned(),
        });
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
                    return Err(FetchError::TooLarge {
                        url: url.to_owned(),
                    });
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

fn text_of(answer: &Response<Body>, name: &HeaderName) -> Option<String> {
    // One that is no text cannot be sent back.
    let value = answer.headers().get(name)?;
    value.to_str().ok().map(ToOwned::to_owned)
}
