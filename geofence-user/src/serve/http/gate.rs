//! What a request must show before it is answered: a name of this machine, or a user and a password.
//!
//! A browser sends any web site's requests to an address of this network if the site's name resolves to it (DNS
//! rebinding). Such a request names the site as its host. Where a password or a certificate is needed, the site has
//! neither.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::serve::web_config::WebConfig;

/// The names by which a listener is asked.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(Vec<String>);

impl Names {
    /// The names of the configuration, and the one that the kernel gives this machine.
    pub(super) fn of(configured: &[String]) -> Self {
        let own = rustix::system::uname();
        let own = own.nodename().to_string_lossy().into_owned();
        Self(configured.iter().cloned().chain([own]).collect())
    }

    /// Whether a request to this host, with or without a port, is meant for this machine.
    fn include(&self, host: &str) -> bool {
        let name = match host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None if host.parse::<IpAddr>().is_ok() => host,
            None => host.rsplit_once(':').map_or(host, |(name, _)| name),
        };
        let name = name.trim_end_matches('.');
        name.parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || self.0.iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}

/// What a connection's requests are checked by.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) names: Arc<Names>,
    /// Users and TLS, if the configuration names a file for them.
    pub(super) web: Option<Arc<WebConfig>>,
}

/// Answers a request if it shows what it must.
pub(super) async fn check(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let mut response = match refusal(&gate, request.headers()).await {
        Some(refusal) => refusal,
        None => next.run(request).await,
    };
    let nosniff = HeaderValue::from_static("nosniff");
    response
        .headers_mut()
        .insert(X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}

async fn refusal(gate: &Gate, headers: &HeaderMap) -> Option<Response> {
    let header = |name| {
        let value: &HeaderValue = headers.get(name)?;
        value.to_str().ok()
    };
    match &gate.web {
        Some(web) if web.has_users() => {
            if web.admits(header(AUTHORIZATION)).await {
                return None;
            }
            let ask = [(WWW_AUTHENTICATE, "Basic realm=\"geofence\"")];
            let text = "401: a user and a password of the file that `web-config` names\n";
            Some((StatusCode::UNAUTHORIZED, ask, text).into_response())
        }
        // A web site has no certificate for its name that this listener could show.
        Some(web) if web.has_tls() => None,
        // A client without the header is no browser.
        _ if header(HOST).is_none_or(|host| gate.names.include(host)) => None,
        _ => {
            let text = "421: this is not a name of this machine. Use an address, or add the name to `listen-names` in \
                        the configuration of geofence\n";
            Some((StatusCode::MISDIRECTED_REQUEST, text).into_response())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_other_machines_are_refused() {
        let names = Names(vec!["edge1".into(), "edge1.example".into()]);
        for host in [
            "127.0.0.1:10317",
            "127.0.0.1",
            "[::1]:10317",
            "[2001:db8::1]",
            "::1",
            "localhost:10317",
            "LOCALHOST",
            "edge1:10317",
            "Edge1.Example:10317",
            "edge1.example.",
        ] {
            assert!(names.include(host), "{host}");
        }
        for host in [
            "",
            "rebind.attacker.example",
            "rebind.attacker.example:10317",
            "127.0.0.1.attacker.example",
            "localhost.attacker.example",
            "edge1.attacker.example",
            "edge10",
        ] {
            assert!(!names.include(host), "{host}");
        }
    }
}
