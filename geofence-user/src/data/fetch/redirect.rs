//! Where a redirect leads.

use ureq::http::Uri;
use ureq::http::uri::PathAndQuery;

/// The URL that the header `Location` of an answer from `from` names, if it is one of http or https.
///
/// A redirect from https leads to https.
pub(super) fn target(from: &Uri, location: &str) -> Option<Uri> {
    let location = location.split('#').next().unwrap_or_default();
    let scheme = from.scheme_str()?;
    let to = if let Some(rest) = location.strip_prefix("//") {
        format!("{scheme}://{rest}").parse().ok()?
    } else if has_scheme(location) {
        location.parse::<Uri>().ok()?
    } else {
        let path = from.path();
        let path = if location.starts_with('/') {
            location.to_owned()
        } else if location.starts_with('?') || location.is_empty() {
            format!("{path}{location}")
        } else {
            let directory = path.rfind('/').map_or("/", |end| &path[..=end]);
            format!("{directory}{location}")
        };
        let mut parts = from.clone().into_parts();
        parts.path_and_query = Some(path.parse::<PathAndQuery>().ok()?);
        Uri::from_parts(parts).ok()?
    };
    to.host().filter(|host| !host.is_empty())?;
    let is_spoken = match to.scheme_str()? {
        "https" => true,
        "http" => scheme == "http",
        _ => false,
    };
    is_spoken.then_some(to)
}

/// Whether a text begins with a scheme, such as `file:`.
fn has_scheme(text: &str) -> bool {
    let Some((scheme, _)) = text.split_once(':') else {
        return false;
    };
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirect_leads_to_the_web_and_never_from_https_to_http() {
        let secure = "https://a.example/one/two?x=1";
        let plain = "http://a.example:8080/one";
        for (from, location, to) in [
            (secure, "/three", Some("https://a.example/three")),
            (
                secure,
                "three?y=2#z",
                Some("https://a.example/one/three?y=2"),
            ),
            (secure, "?y=2", Some("https://a.example/one/two?y=2")),
            (secure, "//b.example/x", Some("https://b.example/x")),
            (secure, "https://b.example/x", Some("https://b.example/x")),
            (secure, "http://a.example/x", None),
            (secure, "file:///etc/passwd", None),
            (secure, "FILE:/etc/passwd", None),
            (secure, "ftp://a.example/x", None),
            (secure, "gopher:x", None),
            (secure, "https://", None),
            (secure, "https:///x", None),
            (plain, "/b", Some("http://a.example:8080/b")),
            (plain, "https://a.example/x", Some("https://a.example/x")),
            (plain, "http://b.example/x", Some("http://b.example/x")),
            (plain, "file:///etc/passwd", None),
        ] {
            let found = target(&from.parse().unwrap(), location);
            let found = found.map(|uri| uri.to_string());
            assert_eq!(found.as_deref(), to, "{from} {location}");
        }
    }
}
