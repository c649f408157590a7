//! One request: conditional, bounded in time and size.

use std::io::{self, Read as _};
use std::time::Duration;

use jiff::Timestamp;
use ureq::http::header::{
    ACCEPT, CONTENT_TYPE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, LOCATION,
    RETRY_AFTER,
};
use ureq::http::{self, HeaderMap, HeaderName, StatusCode, Uri};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body};

use super::credentials::Secrets;
use super::redirect;
use super::retry::retry_after;
use crate::model::server_url::{is_exposed, origin};

/// The time to connect, and the time until the answer starts.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// The time for one request.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(300);
const REDIRECTS_MAX: u32 = 5;

/// What a server recognises a text by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::data) struct Validators {
    pub etag: Option<String>,
    pub last_modified: Option<String>,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub(in crate::data) struct Request<'a> {
    pub url: &'a str,
    pub secrets: &'a Secrets,
    /// What is present already.
    pub known: Validators,
    /// The media type that the answer should have.
    pub accept: Option<&'static str>,
    /// The JSON to send with a POST; without it, the request is a GET.
    pub json: Option<String>,
    /// The most that is read.
    pub bytes_max: u64,
    /// What an error calls that which is fetched.
    pub what: &'static str,
}

/// A server's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::data) enum Fetched {
    /// The text has not changed.
    Unchanged,
    Text(Text),
}

/// A text that a server gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::data) struct Text {
    pub bytes: Vec<u8>,
    pub validators: Validators,
    pub headers: HeaderMap,
}

/// Why there is no text.
#[derive(Debug, thiserror::Error)]
pub(in crate::data) enum FetchError {
    #[error("{url}: {source}; check that this machine reaches the server, and try again")]
    Http {
        url: String,
        source: Box<ureq::Error>,
    },
    #[error("{url}: the server answers {status}; {help}")]
    Status {
        url: String,
        status: StatusCode,
        help: String,
        /// How long the server asks to be left alone.
        retry_after: Option<Duration>,
    },
    #[error("{url}: the answer has more than {} MiB; {help}", bytes_max >> 20)]
    TooLarge {
        url: String,
        bytes_max: u64,
        help: &'static str,
    },
    #[error("{url}: the answer broke off: {source}; try again")]
    BrokenOff { url: String, source: io::Error },
    #[error(
        "{url}: the server redirects to {to}, which is not followed: {why}; ask its operator for the right URL"
    )]
    Redirect {
        url: String,
        to: String,
        why: &'static str,
    },
    #[error("{url}: this is not a URL; correct it in the configuration")]
    NoUrl { url: String },
    #[error(
        "{url}: a secret is sent over https only, or to this machine; write https:// in the configuration"
    )]
    Exposed { url: String },
}

impl FetchError {
    /// How long the server asks to be left alone, if it does.
    pub(in crate::data) const fn retry_after(&self) -> Option<Duration> {
        if let Self::Status { retry_after, .. } = self {
            *retry_after
        } else {
            None
        }
    }

    /// Whether there is nothing under this URL.
    pub(in crate::data) fn is_missing(&self) -> bool {
        matches!(self, Self::Status { status, .. } if *status == StatusCode::NOT_FOUND)
    }
}

/// Fetches a text, unless it is the one that is known. `progress` is called with the number of bytes so far and the
/// total, if the server gives one.
pub(in crate::data) fn fetch(
    request: &Request<'_>,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<Fetched, FetchError> {
    let url = request.url.to_owned();
    let answer = answer(request)?;
    let status = answer.status();
    if status == StatusCode::NOT_MODIFIED {
        return Ok(Fetched::Unchanged);
    }
    let header = |name: HeaderName| {
        let value = answer.headers().get(name)?;
        value.to_str().ok().map(ToOwned::to_owned)
    };
    if status != StatusCode::OK {
        let what = request.what;
        let retry = header(RETRY_AFTER).and_then(|text| retry_after(&text, Timestamp::now()));
        return Err(FetchError::Status {
            url,
            status,
            help: match status.as_u16() {
                401 | 403 if request.secrets.is_empty() => {
                    "it wants a login or blocks this machine".to_owned()
                }
                401 | 403 => "it does not accept the credential of the configuration".to_owned(),
                404 | 410 => format!("the {what} has moved: correct its URL in the configuration"),
                429 => "it gets too many requests: fetch less often".to_owned(),
                500..=599 => "it is broken at the moment: try again later".to_owned(),
                _ => "open the URL in a browser to see why".to_owned(),
            },
            retry_after: retry.filter(|_| matches!(status.as_u16(), 429 | 503)),
        });
    }
    let validators = Validators {
        etag: header(ETAG),
        last_modified: header(LAST_MODIFIED),
    };
    let headers = answer.headers().clone();
    let bytes = body(request, answer.into_body(), progress)?;
    Ok(Fetched::Text(Text {
        bytes,
        validators,
        headers,
    }))
}

/// The answer to a request, behind all redirects.
fn answer(request: &Request<'_>) -> Result<http::Response<Body>, FetchError> {
    let url = || request.url.to_owned();
    let complete = request.secrets.complete(request.url);
    let mut at: Uri = complete
        .parse()
        .map_err(|_| FetchError::NoUrl { url: url() })?;
    let first = origin(&at).ok_or_else(|| FetchError::NoUrl { url: url() })?;
    if is_exposed(&at) && !request.secrets.is_empty() {
        return Err(FetchError::Exposed { url: url() });
    }
    let agent = agent(first.0 == "https");
    for _ in 0..=REDIRECTS_MAX {
        // Another server gets neither the secrets nor what they unlock.
        let is_meant = origin(&at).as_ref() == Some(&first);
        let answer = send(&agent, request, &at, is_meant).map_err(|source| FetchError::Http {
            url: url(),
            source: Box::new(source),
        })?;
        let status = answer.status();
        if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
            return Ok(answer);
        }
        let location = answer.headers().get(LOCATION);
        let location = location.and_then(|value| value.to_str().ok());
        let location = location.unwrap_or_default();
        let next = redirect::target(&at, location);
        // Where it leads may be secret as well, so only the server is named.
        let to = |uri: &Uri| {
            let scheme = uri.scheme_str().unwrap_or_default();
            format!("{scheme}://{}", uri.host().unwrap_or_default())
        };
        let refuse = |to: String, why| {
            let url = url();
            Err(FetchError::Redirect { url, to, why })
        };
        at = match next {
            None => {
                let scheme = location.split(':').next().unwrap_or_default();
                let to = format!("{scheme}:...");
                return refuse(to, "only https is followed from https, and http from http");
            }
            Some(next) if request.json.is_some() => {
                return refuse(to(&next), "a search is sent only to its own URL");
            }
            Some(next) => next,
        };
    }
    Err(FetchError::Redirect {
        url: url(),
        to: "a sixth URL in a row".to_owned(),
        why: "at most five redirects are followed",
    })
}

fn agent(https_only: bool) -> Agent {
    let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier);
    Agent::config_builder()
        // A redirection must not downgrade https to http.
        .https_only(https_only)
        .tls_config(tls.build())
        .timeout_connect(Some(START_TIMEOUT))
        .timeout_recv_response(Some(START_TIMEOUT))
        .timeout_global(Some(TOTAL_TIMEOUT))
        // Redirects are followed here, because a secret must not follow one.
        .max_redirects(0)
        .http_status_as_error(false)
        .user_agent(concat!("geofence/", env!("CARGO_PKG_VERSION")))
        .build()
        .into()
}

fn send(
    agent: &Agent,
    request: &Request<'_>,
    to: &Uri,
    with_secrets: bool,
) -> Result<http::Response<Body>, ureq::Error> {
    let mut headers = Vec::new();
    for (name, value) in [
        (IF_NONE_MATCH, request.known.etag.as_deref()),
        (IF_MODIFIED_SINCE, request.known.last_modified.as_deref()),
        (ACCEPT, request.accept),
    ] {
        headers.extend(value.map(|value| (name, value)));
    }
    let secrets = request.secrets.headers().filter(|_| with_secrets);
    match &request.json {
        None => {
            let mut get = agent.get(to);
            for (name, value) in headers {
                get = get.header(name, value);
            }
            for (name, value) in secrets {
                get = get.header(name, value);
            }
            get.call()
        }
        Some(json) => {
            let mut post = agent.post(to).header(CONTENT_TYPE, "application/json");
            for (name, value) in headers {
                post = post.header(name, value);
            }
            for (name, value) in secrets {
                post = post.header(name, value);
            }
            post.send(json)
        }
    }
}

fn body(
    request: &Request<'_>,
    body: Body,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<Vec<u8>, FetchError> {
    let bytes_max = request.bytes_max;
    let too_large = || FetchError::TooLarge {
        url: request.url.to_owned(),
        bytes_max,
        help: if request.what == "list" {
            "use a list that is aggregated"
        } else {
            "check that the URL is the right one"
        },
    };
    let length = body.content_length();
    if length.is_some_and(|length| length > bytes_max) {
        return Err(too_large());
    }
    let mut body = body.into_with_config().limit(u64::MAX).reader();
    let mut bytes = Vec::new();
    let mut part = vec![0; 64 << 10];
    loop {
        match body.read(&mut part) {
            Ok(0) => break,
            Ok(read) => {
                bytes.extend_from_slice(part.get(..read).unwrap_or_default());
                progress(bytes.len() as u64, length);
                if bytes.len() as u64 > bytes_max {
                    return Err(too_large());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => {
                return Err(FetchError::BrokenOff {
                    url: request.url.to_owned(),
                    source,
                });
            }
        }
    }
    Ok(bytes)
}
