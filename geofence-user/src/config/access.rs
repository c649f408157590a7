//! Reads how geofence authenticates to a server, from inline tables: headers, a login, and where the secrets are kept.
//!
//! A secret itself does not belong into a configuration. If one stands there, the error names the key and shows the
//! line with `***` in place of the value.

use std::path::PathBuf;

use ureq::http::HeaderName;
use ureq::http::header::AUTHORIZATION;

use super::error::Problem;
use super::key::Key;
use super::key_doc::{Kind, Shape};
use super::value::{Inline, Value};
use crate::model::secret::{Access, Login, SecretSource};

/// The keys that a table has in common with others whose server wants to know who asks.
#[derive(Clone, Debug, Default)]
pub(super) struct AccessDraft {
    pub(super) header: Option<Inline>,
    pub(super) basic: Option<Inline>,
    pub(super) bearer: Option<Inline>,
}

pub(super) const SECRET_FORM: &str = "`{ credential = \"NAME\" }` or `{ file = \"/PATH\" }`";
const NONE: &str = "none";
const REFUSED: &str =
    "The secret itself; a relative path; plain http to another machine; a table without `url`.";

/// The keys.
pub(super) fn keys<T: 'static>(field: fn(&mut T) -> &mut AccessDraft) -> Vec<Key<T>> {
    let key = |name, form, shape, part: fn(&mut AccessDraft) -> &mut Option<Inline>| {
        Key::new(name, Kind::Inline(form, shape), move |target, value, _| {
            if let Value::Inline(inline) = value {
                *part(field(target)) = Some(inline.clone());
            }
        })
    };
    let names = "names of headers, each with where its secret is kept";
    let header = key("header", names, Shape::Secrets, |draft| &mut draft.header);
    let user = "a `user`, and where the `password` is kept";
    let basic = key("basic", user, Shape::Login, |draft| &mut draft.basic);
    let token = "where the token is kept";
    let bearer = key("bearer", token, Shape::Secret, |draft| &mut draft.bearer);
    vec![
        header
            .default(NONE)
            .meaning("Headers of the request that have a secret each.")
            .details(
                "A secret is a credential of the service (`LoadCredential=NAME:FILE` in the unit), or the content of a \
                 file that only root may read. It goes to the server of the URL alone, not where that redirects to.",
            )
            .example(r#"header = { X-Api-Key = { credential = "crowdsec" } }"#)
            .refused(REFUSED),
        basic
            .default(NONE)
            .meaning("A user and a password for the server.")
            .example(r#"# basic = { user = "us", password = { file = "/etc/geofence/secrets/feed" } }"#)
            .refused("As for `header`; both this and `bearer`."),
        bearer
            .default(NONE)
            .meaning("A token for the server.")
            .example(r#"# bearer = { credential = "feed" }"#)
            .refused("As for `header`; both this and `basic`."),
    ]
}

impl AccessDraft {
    pub(super) const fn is_empty(&self) -> bool {
        self.header.is_none() && self.basic.is_none() && self.bearer.is_none()
    }

    /// Reads the keys.
    ///
    /// # Errors
    /// What is wrong with the first of them.
    pub(super) fn read(self) -> Result<Access, Problem> {
        let mut access = Access::default();
        if let Some(header) = self.header {
            let Inline::Table(headers) = header else {
                return Err(misplaced("header"));
            };
            for (name, inline) in headers {
                if HeaderName::from_bytes(name.as_bytes()).is_err() {
                    return Err(Problem::new(
                        "`header` has a name that no header can have",
                        "in this table",
                        "write a name such as X-Api-Key",
                    ));
                }
                access.headers.push((name, secret("header", &inline)?));
            }
        }
        access.login = match (self.basic, self.bearer) {
            (None, None) => None,
            (Some(basic), None) => Some(login(basic)?),
            (None, Some(bearer)) => Some(Login::Bearer(secret("bearer", &bearer)?)),
            (Some(_), Some(_)) => return Err(twice()),
        };
        let is_login = |name: &String| name.eq_ignore_ascii_case(AUTHORIZATION.as_str());
        if access.login.is_some() && access.headers.iter().any(|(name, _)| is_login(name)) {
            return Err(twice());
        }
        Ok(access)
    }
}

/// Reads where a secret is kept.
pub(super) fn secret(key: &str, inline: &Inline) -> Result<SecretSource, Problem> {
    let Inline::Table(members) = inline else {
        return Err(misplaced(key));
    };
    match members.as_slice() {
        [(name, Inline::Text(text))] if name == "credential" => {
            let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            let is_name = text.bytes().all(is_fit) && !text.starts_with('.') && !text.is_empty();
            if is_name && text.len() <= 64 {
                return Ok(SecretSource::Credential(text.clone()));
            }
            Err(Problem::new(
                format!("`{key}` names no credential"),
                "in this table",
                "write the name that LoadCredential= gives it: letters, digits, `.`, `_` and `-`",
            ))
        }
        [(name, Inline::Text(text))] if name == "file" => {
            let path = PathBuf::from(text);
            if path.is_absolute() && !text.contains('\0') {
                return Ok(SecretSource::File(path));
            }
            Err(Problem::new(
                format!("`{key}` names no file by its whole path"),
                "in this table",
                "write a path such as \"/etc/geofence/secrets/feed\"",
            ))
        }
        _ => Err(misplaced(key)),
    }
}

fn login(inline: Inline) -> Result<Login, Problem> {
    let form = || {
        Problem::new(
            "`basic` is a user and where the password is kept",
            "in this table",
            "write basic = { user = \"us\", password = { credential = \"feed\" } }",
        )
    };
    let Inline::Table(members) = inline else {
        return Err(misplaced("basic"));
    };
    let (mut user, mut password) = (None, None);
    for (name, inline) in members {
        match (name.as_str(), inline) {
            ("user", Inline::Text(text)) => user = Some(text),
            ("password", inline) => password = Some(secret("basic", &inline)?),
            _ => return Err(form()),
        }
    }
    let (Some(user), Some(password)) = (user, password) else {
        return Err(form());
    };
    // A colon ends the user, and a control character the header.
    if user.is_empty() || user.contains(|c: char| c == ':' || c.is_control()) {
        return Err(form());
    }
    Ok(Login::Basic { user, password })
}

fn misplaced(key: &str) -> Problem {
    Problem::new(
        format!("`{key}` does not say where the secret is kept"),
        "in this table",
        format!(
            "write {}; a configuration is read and shown by many, so the secret itself stays out of it",
            SECRET_FORM.replace('`', "")
        ),
    )
}

fn twice() -> Problem {
    Problem::new(
        "a request has one login",
        "in this table",
        "keep one of `basic`, `bearer` and the header Authorization",
    )
}
