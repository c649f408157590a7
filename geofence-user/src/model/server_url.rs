//! What a URL says about the server that it leads to.

use std::net::IpAddr;

use ureq::http::Uri;

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
