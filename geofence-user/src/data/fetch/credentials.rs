//! The secrets of a request.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ureq::http::header::AUTHORIZATION;
use ureq::http::{HeaderName, HeaderValue};

use crate::model::secret::{Access, Login, Secret};
use crate::model::server_url::hide_secrets;
use crate::os::credentials::{CredentialError, read};

/// What a request has to say to the server it is meant for, and to no other.
#[derive(Clone, Debug, Default)]
pub(in crate::data) struct Secrets {
    headers: Vec<(HeaderName, HeaderValue)>,
    /// A parameter of the URL.
    parameter: Option<(&'static str, Secret)>,
    /// Every form in which a server could repeat them.
    hidden: Vec<Secret>,
}

impl Secrets {
    /// Reads what an access names.
    ///
    /// # Errors
    /// When a secret cannot be had.
    pub(in crate::data) fn of(access: &Access) -> Result<Self, CredentialError> {
        let mut secrets = Self::default();
        for (name, source) in &access.headers {
            let secret = read(source)?;
            // The name was checked when it was read, and a secret has no control characters.
            if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
                secrets.add(name, secret.reveal());
            }
            secrets.hidden.push(secret);
        }
        match &access.login {
            Some(Login::Basic { user, password }) => {
                let password = read(password)?;
                let both = STANDARD.encode(format!("{user}:{}", password.reveal()));
                secrets.add(AUTHORIZATION, &format!("Basic {both}"));
                secrets.hidden.extend([Secret::new(both), password]);
            }
            Some(Login::Bearer(token)) => {
                let token = read(token)?;
                secrets.add(AUTHORIZATION, &format!("Bearer {}", token.reveal()));
                secrets.hidden.push(token);
            }
            None => {}
        }
        Ok(secrets)
    }

    /// The same with a parameter of the URL, which is left out wherever the URL is shown.
    pub(in crate::data) fn with_parameter(mut self, name: &'static str, value: Secret) -> Self {
        self.hidden.push(value.clone());
        self.parameter = Some((name, value));
        self
    }

    fn add(&mut self, name: HeaderName, value: &str) {
        if let Ok(mut value) = HeaderValue::from_str(value) {
            value.set_sensitive(true);
            self.headers.push((name, value));
        }
    }

    pub(super) fn headers(&self) -> impl Iterator<Item = &(HeaderName, HeaderValue)> {
        self.headers.iter()
    }

    /// A URL with the parameter.
    pub(super) fn complete(&self, url: &str) -> String {
        let Some((name, value)) = &self.parameter else {
            return url.to_owned();
        };
        let mark = if url.contains('?') { '&' } else { '?' };
        format!("{url}{mark}{name}={}", encoded(value.reveal()))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hidden.is_empty()
    }

    /// A text in which none of the secrets can be read, nor those of a URL: a server may repeat what it was sent.
    pub(in crate::data) fn hide_in(&self, text: &str) -> String {
        let hide = |text: String, secret: &Secret| secret.hide_in(&text);
        self.hidden.iter().fold(hide_secrets(text), hide)
    }
}

/// A text as the value of a parameter (RFC 3986, section 2.1).
pub(in crate::data) fn encoded(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_is_encoded_and_hidden() {
        let secrets = Secrets::default().with_parameter("token", Secret::new("a+b c".to_owned()));
        assert_eq!(
            secrets.complete("https://x/y"),
            "https://x/y?token=a%2Bb%20c"
        );
        assert_eq!(
            secrets.complete("https://x/y?z=1"),
            "https://x/y?z=1&token=a%2Bb%20c"
        );
        assert_eq!(secrets.hide_in("got a+b c"), "got ***");
        assert!(!format!("{secrets:?}").contains("a+b"));
    }
}
