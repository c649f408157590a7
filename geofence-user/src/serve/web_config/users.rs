//! Users and their passwords, which the file has as bcrypt hashes.
//!
//! Comparing a password takes a tenth of a second on purpose. It happens on another thread, for one request at a time,
//! so requests with wrong passwords cost at most one core and never delay the daemon.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio::sync::Semaphore;

/// A hash of no password of anyone's, for users that do not exist: the time of an answer does not show that.
const NO_USER: &str = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";

#[derive(Debug)]
pub(super) struct Users {
    hashes: BTreeMap<String, String>,
    one_at_a_time: Semaphore,
}

impl Users {
    pub(super) fn new(hashes: BTreeMap<String, String>) -> Result<Self, String> {
        for (user, hash) in &hashes {
            if hash.parse::<bcrypt::HashParts>().is_err() {
                return Err(format!(
                    "the password of the user {user} is not a bcrypt hash; `htpasswd -nBC 10 {user}` prints one"
                ));
            }
        }
        Ok(Self {
            hashes,
            one_at_a_time: Semaphore::new(1),
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Whether the header names a user with the right password.
    pub(super) async fn admit(&self, authorization: Option<&str>) -> bool {
        let Some((user, password)) = authorization.and_then(credentials) else {
            return false;
        };
        let hash = self.hashes.get(&user);
        let is_user = hash.is_some();
        let hash = hash.map_or(NO_USER, String::as_str).to_owned();
        let Ok(_turn) = self.one_at_a_time.acquire().await else {
            return false;
        };
        let compared = tokio::task::spawn_blocking(move || bcrypt::verify(password, &hash));
        matches!(compared.await, Ok(Ok(true))) && is_user
    }
}

/// The user and the password of a header `Basic ...` (RFC 7617).
fn credentials(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = BASE64_STANDARD.decode(encoded.trim()).ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_admitted_by_the_right_password_only() {
        let hash = bcrypt::hash("open:sesame", 4).unwrap();
        let users = Users::new([("alice".to_owned(), hash)].into()).unwrap();
        let basic = |text: &str| format!("Basic {}", BASE64_STANDARD.encode(text));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let admits = |header: Option<&str>| runtime.block_on(users.admit(header));
        assert!(admits(Some(&basic("alice:open:sesame"))));
        for wrong in ["alice:open", "bob:open:sesame", "alice", ""] {
            assert!(!admits(Some(&basic(wrong))), "{wrong}");
        }
        assert!(!admits(Some("Bearer open:sesame")));
        assert!(!admits(None));
    }
}
