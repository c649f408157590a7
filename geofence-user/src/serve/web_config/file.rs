//! The text of the web configuration file: the keys of Prometheus' exporter toolkit that this listener knows.
//!
//! Others are refused, because each would promise something that does not happen.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::model::secret::HIDDEN;
use crate::os::input;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct File {
    pub(super) tls_server_config: Option<Tls>,
    pub(super) basic_auth_users: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    pub(super) cert_file: PathBuf,
    pub(super) key_file: PathBuf,
    pub(super) client_ca_file: Option<PathBuf>,
    #[serde(default)]
    pub(super) client_auth_type: ClientAuth,
    #[serde(default)]
    pub(super) min_version: Version,
    #[serde(default = "Version::newest")]
    pub(super) max_version: Version,
}

/// Whether a client shows a certificate. The kinds that accept one without verifying it are not here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) enum ClientAuth {
    #[default]
    NoClientCert,
    VerifyClientCertIfGiven,
    RequireAndVerifyClientCert,
}

/// Older versions are not secure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(super) enum Version {
    #[default]
    #[serde(rename = "TLS12")]
    Tls12,
    #[serde(rename = "TLS13")]
    Tls13,
}

impl Version {
    const fn newest() -> Self {
        Self::Tls13
    }
}

impl File {
    /// The files that it names.
    pub(super) fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        let tls = self.tls_server_config.iter();
        tls.flat_map(|tls| {
            [&tls.cert_file, &tls.key_file]
                .into_iter()
                .chain(&tls.client_ca_file)
        })
    }
}

fn parse(text: &str) -> Result<File, String> {
    // An error shows no lines: there may be a password in them.
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| error.to_string())
}

/// A message about the file in which nothing stands that could be the password of a user, or its hash.
fn without_passwords(message: &str, text: &str) -> String {
    /// What is shorter is no password, and its letters may be anywhere in a message.
    const PASSWORD_BYTES_MIN: usize = 4;
    let mut message = message.to_owned();
    let users = text.lines().skip_while(|line| !line.contains("basic_auth"));
    for line in users.take_while(|line| !line.starts_with("tls_server_config")) {
        let words = line.split(|c: char| c.is_whitespace() || "\"',{}[]".contains(c));
        let value = line.split_once(": ").map_or("", |(_, value)| value);
        let names = ["basic_auth_users", "basic_auth"];
        for part in words.chain([value]) {
            let part = part.trim().trim_matches(['"', '\'']);
            let is_name = part.ends_with(':') || names.contains(&part);
            if part.len() >= PASSWORD_BYTES_MIN && !is_name {
                message = message.replace(part, HIDDEN);
            }
        }
    }
    message
}

/// Reads the file. Relative paths in it start at its directory.
pub(super) fn read(path: &Path) -> Result<File, String> {
    let text = input::read_text(path).map_err(|error| error.to_string())?;
    if text.trim().is_empty() {
        return Ok(File::default());
    }
    let mut file = parse(&text).map_err(|why| without_passwords(&why, &text))?;
    if let (Some(tls), Some(directory)) = (&mut file.tls_server_config, path.parent()) {
        let paths = [&mut tls.cert_file, &mut tls.key_file];
        for path in paths.into_iter().chain(&mut tls.client_ca_file) {
            *path = directory.join(&*path);
        }
    }
    Ok(file)
}
