//! The text of the web configuration file: the keys of Prometheus' exporter toolkit that this listener knows.
//!
//! Others are refused, because each would promise something that does not happen.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

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

/// Reads the file. Relative paths in it start at its directory.
pub(super) fn read(path: &Path) -> Result<File, String> {
    let text = input::read_text(path).map_err(|error| error.to_string())?;
    if text.trim().is_empty() {
        return Ok(File::default());
    }
    let mut file: File = serde_saphyr::from_str(&text).map_err(|error| error.to_string())?;
    if let (Some(tls), Some(directory)) = (&mut file.tls_server_config, path.parent()) {
        let paths = [&mut tls.cert_file, &mut tls.key_file];
        for path in paths.into_iter().chain(&mut tls.client_ca_file) {
            *path = directory.join(&*path);
        }
    }
    Ok(file)
}
