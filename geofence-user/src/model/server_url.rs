//! What a URL says about the server that it leads to, and what of it is a secret.

use std::net::IpAddr;
use std::ops::Range;

use ureq::http::Uri;

use super::secret::{HIDDEN, is_secret_name};

/// From this length on, a value of a parameter that is nothing but letters and digits is taken for a secret.
const RANDOM_BYTES_MIN: usize = 20;

/// The scheme, host and port of a URL; requests to the same three reach the same server.
#[must_use]
pub fn origin(uri: &Uri) -> Option<(String, String, u16)> {
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let host = uri.host()?.to_ascii_lowercase();
    let port = match scheme.as_str() {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    Some((scheme, host, uri.port_u16().unwrap_or(port)))
}

/// Whether others could read a request, or answer in place of the server, because the URL is plain HTTP to another
/// machine.
#[must_use]
pub fn is_exposed(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_here = host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    uri.scheme_str() == Some("http") && !is_here
}

/// Where the URLs in a text have secrets: a user with a password before the host, and values of parameters that are
/// named like a secret or look like one.
#[must_use]
pub fn secrets_in(text: &str) -> Vec<Range<usize>> {
    const SCHEME_END: &str = "://";
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = text[from..].find(SCHEME_END) {
        let start = from + at + SCHEME_END.len();
        let is_end = |c: char| c.is_whitespace() || c.is_control() || "\"'`<>".contains(c);
        let end = text[start..]
            .find(is_end)
            .map_or(text.len(), |end| start + end);
        // What ends a URL in a sentence is no part of it.
        let url = text[start..end].trim_end_matches([':', ';', ',', '.', ')']);
        let authority = url.find(['/', '?', '#']).unwrap_or(url.len());
        if let Some(host) = url[..authority].rfind('@').filter(|host| *host > 0) {
            found.push(start..start + host);
        }
        if let Some(query) = url.find('?') {
            found.extend(
                secret_parameters(url, query + 1).map(|one| start + one.start..start + one.end),
            );
        }
        from = end;
    }
    found
}

/// The values of secret parameters of a URL, whose query starts there.
fn secret_parameters(url: &str, query: usize) -> impl Iterator<Item = Range<usize>> {
    let mut start = query;
    url[query..].split(['&', '#']).filter_map(move |parameter| {
        let at = start;
        start += parameter.len() + 1;
        let (name, value) = parameter.split_once('=').unwrap_or(("", parameter));
        let is_random = value.len() >= RANDOM_BYTES_MIN
            && value.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && value.bytes().any(|byte| byte.is_ascii_digit());
        let is_secret = !value.is_empty() && (is_secret_name(name) || is_random);
        is_secret.then(|| at + parameter.len() - value.len()..at + parameter.len())
    })
}

/// A text in which no URL has a secret.
#[must_use]
pub fn hide_secrets(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut from = 0;
    for secret in secrets_in(text) {
        shown += &text[from..secret.start];
        shown += HIDDEN;
        from = secret.end;
    }
    shown + &text[from..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_a_url_are_hidden_and_the_rest_is_not() {
        for (text, shown) in [
            ("https://a.example/list.txt", "https://a.example/list.txt"),
            (
                "https://us:hunter2@a.example/x@y",
                "https://***@a.example/x@y",
            ),
            ("https://@a.example", "https://@a.example"),
            (
                "https://a.example/x?edition_id=GeoLite2&license_key=hunter2: no",
                "https://a.example/x?edition_id=GeoLite2&license_key=***: no",
            ),
            (
                "`http://a?key=1` and \"http://b?token=2#top\"",
                "`http://a?key=***` and \"http://b?token=***#top\"",
            ),
            (
                "https://a.example/x?0123456789abcdef0123",
                "https://a.example/x?***",
            ),
            (
                "https://a.example/x?days=14&format=csv",
                "https://a.example/x?days=14&format=csv",
            ),
            ("no URL: a@b?key=c", "no URL: a@b?key=c"),
            ("://é?key=é", "://é?key=***"),
        ] {
            assert_eq!(hide_secrets(text), shown);
        }
    }
}
