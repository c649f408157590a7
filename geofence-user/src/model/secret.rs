//! Secrets, which no output may show, and the names of the places where they are kept.

use std::fmt;
use std::path::PathBuf;

/// What stands for a secret wherever it could be seen.
pub const HIDDEN: &str = "***";

/// What a name contains by which secrets go, without the characters between its words.
const SECRET_WORDS: [&str; 15] = [
    "accesskey",
    "apikey",
    "authorisation",
    "authorization",
    "bearer",
    "cookie",
    "licencekey",
    "licensekey",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "secret",
    "signature",
    "token",
];
/// Names that are one of those words as a whole, or end in one.
const SECRET_ENDINGS: [&str; 6] = ["auth", "credential", "key", "login", "pass", "pwd"];

/// Whether secrets go by this name: the name of a key, of a header or of a parameter.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    let name: String = letters.map(|letter| letter.to_ascii_lowercase()).collect();
    SECRET_WORDS.iter().any(|word| name.contains(word))
        || SECRET_ENDINGS.iter().any(|word| name.ends_with(word))
}

/// A password, a token or a key. It is never written anywhere but into a request.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, for the request that it belongs to.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// A text in which the secret, if it is there, is hidden: a server may repeat what it was sent.
    #[must_use]
    pub fn hide_in(&self, text: &str) -> String {
        if self.0.is_empty() {
            return text.to_owned();
        }
        text.replace(&self.0, HIDDEN)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// Where a secret is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// A credential of the service, by name.
    Credential(String),
    /// A file that only its owner may read.
    File(PathBuf),
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credential(name) => write!(f, "the credential {name}"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// How a server learns who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Headers with a secret each.
    pub headers: Vec<(String, SecretSource)>,
    pub login: Option<Login>,
}

/// What the header `Authorization` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    Basic {
        user: String,
        password: SecretSource,
    },
    Bearer(SecretSource),
}

impl Access {
    /// Whether a request has anything secret.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.headers.is_empty() && self.login.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_is_never_shown() {
        let secret = Secret::new("hunter2".to_owned());
        assert_eq!(format!("{secret} {secret:?}"), "*** ***");
        assert_eq!(secret.hide_in("key hunter2!"), "key ***!");
        assert_eq!(Secret::new(String::new()).hide_in("ab"), "ab");
    }

    #[test]
    fn names_of_secrets_are_recognised_however_they_are_spelled() {
        for name in [
            "X-Api-Key",
            "license_key",
            "TOKEN",
            "access-token",
            "x-auth",
            "key",
            "passwd",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in [
            "url",
            "format",
            "author",
            "keyboard",
            "edition_id",
            "passive",
        ] {
            assert!(!is_secret_name(name), "{name}");
        }
    }
}
