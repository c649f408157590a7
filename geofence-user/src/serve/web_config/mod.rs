//! The web configuration file: TLS and users for the HTTP listener, in the form of Prometheus' exporter toolkit.
//!
//! The file is read before the listener answers, and again when it or a file that it names has changed. A file that
//! cannot be used never opens the listener without protection: at the start nothing is served, later the last good
//! content stays.

mod file;
mod tls;
mod users;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use self::users::Users;
use crate::os::file_stamps::FileStamps;

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the web configuration {path} cannot be used: {cause}")]
pub struct WebConfigError {
    path: String,
    cause: String,
}

/// TLS and users, as one content of the file says.
pub struct WebConfig {
    acceptor: Option<TlsAcceptor>,
    users: Users,
}

impl std::fmt::Debug for WebConfig {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("WebConfig")
            .field("tls", &self.has_tls())
            .field("users", &self.has_users())
            .finish()
    }
}

impl WebConfig {
    /// Reads the file. Also returns the stamps of all files that it depends on, taken before they were read.
    fn read(path: &Path) -> Result<(Self, FileStamps), WebConfigError> {
        let failed = |cause: String| WebConfigError {
            path: path.display().to_string(),
            cause,
        };
        let own = FileStamps::of([&path.to_owned()]);
        let file = file::read(path).map_err(failed)?;
        let stamps = own.and(FileStamps::of(file.paths().collect::<Vec<_>>()));
        let acceptor = file.tls_server_config.as_ref().map(tls::acceptor);
        let config = Self {
            acceptor: acceptor.transpose().map_err(failed)?,
            users: Users::new(file.basic_auth_users).map_err(failed)?,
        };
        Ok((config, stamps))
    }

    #[must_use]
    pub fn has_tls(&self) -> bool {
        self.acceptor.is_some()
    }

    #[must_use]
    pub fn has_users(&self) -> bool {
        !self.users.is_empty()
    }

    /// What speaks TLS with a client.
    #[must_use]
    pub fn acceptor(&self) -> Option<TlsAcceptor> {
        self.acceptor.clone()
    }

    /// Whether the header of a request names a user with the right password.
    pub async fn admits(&self, authorization: Option<&str>) -> bool {
        self.users.admit(authorization).await
    }
}

/// The file, and its last good content.
#[derive(Debug)]
pub struct WebConfigFile {
    path: PathBuf,
    stamps: FileStamps,
    content: Arc<WebConfig>,
}

impl WebConfigFile {
    /// # Errors
    /// When the file cannot be used.
    pub fn open(path: &Path) -> Result<Self, WebConfigError> {
        let (content, stamps) = WebConfig::read(path)?;
        Ok(Self {
            path: path.to_owned(),
            stamps,
            content: Arc::new(content),
        })
    }

    #[must_use]
    pub fn has_tls(&self) -> bool {
        self.content.has_tls()
    }

    /// The content, read again if a file has changed.
    pub fn current(&mut self) -> Arc<WebConfig> {
        let now = self.stamps.now();
        if now != self.stamps {
            match WebConfig::read(&self.path) {
                Ok((content, stamps)) => {
                    info!(
                        "the web configuration {} was read again",
                        self.path.display()
                    );
                    (self.content, self.stamps) = (Arc::new(content), stamps);
                }
                Err(error) => {
                    warn!("{error}. The previous one stays in use");
                    self.stamps = now;
                }
            }
        }
        Arc::clone(&self.content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(), String> {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("web.yml");
        std::fs::write(&path, text).unwrap();
        let read = WebConfig::read(&path).map(|_| ());
        read.map_err(|error| error.cause)
    }

    #[test]
    fn files_that_would_weaken_the_listener_are_refused_by_name() {
        let hash = "\"$2y$04$abcdefghijklmnopqrstuuinwY/tkBVrn3xrxQI/TgnMHhkvl85RW\"";
        assert_eq!(
            read(&format!("basic_auth_users:\n  alice: {hash}\n")),
            Ok(())
        );
        assert_eq!(read(""), Ok(()));
        for (text, expected) in [
            ("basic_auth_users:\n  alice: secret\n", "alice"),
            ("basic_auth:\n  alice: x\n", "basic_auth"),
            ("tls_server_config:\n  cert_file: a\n", "key_file"),
            (
                "tls_server_config:\n  cert_file: a\n  key_file: b\n  min_version: TLS10\n",
                "TLS10",
            ),
            (
                "tls_server_config:\n  cert_file: a\n  key_file: b\n  client_auth_type: RequestClientCert\n",
                "RequestClientCert",
            ),
            (
                "tls_server_config:\n  cert_file: a\n  key_file: b\n  client_auth_type: RequireAndVerifyClientCert\n",
                "client_ca_file",
            ),
            (
                "tls_server_config:\n  cert_file: absent.pem\n  key_file: b\n",
                "absent.pem",
            ),
        ] {
            let refused = read(text).unwrap_err();
            assert!(refused.contains(expected), "{text}: {refused}");
        }
    }

    #[test]
    fn errors_show_no_password_and_no_hash() {
        const SECRET: &str = "hunter2-hunter2";
        for text in [
            "basic_auth_users: SECRET\n",
            "basic_auth_users: [SECRET]\n",
            "basic_auth_users: { alice: SECRET\n",
            "basic_auth_users:\n  alice: SECRET\n",
            "basic_auth_users:\n  alice: \"SECRET\n",
            "basic_auth_users:\n  alice: { password: SECRET }\n",
            "basic_auth_users:\n  - alice: SECRET\n",
            "basic_auth_users:\n  alice: SECRET\n  alice: SECRET\n",
            "basic_auth_user:\n  alice: SECRET\n",
            "basic_auth_users:\n  alice: SECRET\ntls: x\n",
            "basic_auth_users:\n  alice SECRET\n",
            "basic_auth_users:\n  alice: SECRET SECRET\n bob: x\n",
        ] {
            let refused = read(&text.replace("SECRET", SECRET)).unwrap_err();
            assert!(
                !refused.contains(SECRET) && !refused.is_empty(),
                "{text}: {refused}"
            );
        }
    }

    #[test]
    fn a_changed_file_is_read_again_and_a_broken_one_leaves_the_last_good() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("web.yml");
        std::fs::write(&path, "").unwrap();
        let mut file = WebConfigFile::open(&path).unwrap();
        assert!(!file.current().has_users());
        let hash = "$2y$04$abcdefghijklmnopqrstuuinwY/tkBVrn3xrxQI/TgnMHhkvl85RW";
        std::fs::write(&path, format!("basic_auth_users:\n  alice: {hash}\n")).unwrap();
        assert!(file.current().has_users());
        std::fs::write(&path, "basic_auth_users: broken\n").unwrap();
        assert!(file.current().has_users());
        std::fs::remove_file(&path).unwrap();
        assert!(file.current().has_users());
    }
}
