//! The file that says which fleet this is, where its engine is, and who this machine is there.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use geofence_user::os::instance::Instance;
use serde::Deserialize;

use crate::keys::Name;

/// Where the file is if none is named.
pub const DEFAULT_FILE: &str = "/etc/geofence-fleet/fleet.toml";

/// What the file says, for an agent and for an operator.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// The name of the fleet.
    pub fleet: Name,
    /// The URLs of the engine's members.
    pub endpoints: Vec<String>,
    /// The certificate that the engine's certificates are signed by.
    pub authority: PathBuf,
    /// Who this machine or operator is.
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// The key that releases are signed by, for those who check them.
    pub verify_key: PathBuf,
    /// The same, for those who sign.
    pub signing_key: Option<PathBuf>,
    /// Certificates of servers that contents are fetched from, if the system's do not suffice.
    pub content_authority: Option<PathBuf>,
    /// The ports of those servers besides 443, which the agent may connect to.
    #[serde(default)]
    pub content_ports: Vec<u16>,
    /// The name of this node; an operator has none.
    pub node: Option<Name>,
    /// The geofence of this node.
    #[serde(default = "default_instance")]
    pub instance: String,
    /// Where the agent keeps what it has fetched.
    #[serde(default = "default_state")]
    pub state: PathBuf,
    /// Where the agent answers /metrics; without it, nowhere.
    pub listen: Option<SocketAddr>,
    /// The longest time, in seconds, that the agent waits before it fetches a content, so that not all nodes fetch at
    /// once.
    #[serde(default = "default_spread")]
    pub spread: u64,
}

fn default_instance() -> String {
    "geofence".to_owned()
}

fn default_state() -> PathBuf {
    PathBuf::from("/var/lib/geofence-fleet")
}

fn default_spread() -> u64 {
    5
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error(
        "cannot read {path}: {cause}; `geofence-fleet bootstrap` writes such files, and --settings names another"
    )]
    Unreadable { path: String, cause: std::io::Error },
    #[error("{path}: {cause}")]
    Invalid { path: String, cause: String },
}

impl Settings {
    /// Reads a file. Relative paths in it start at its directory.
    ///
    /// # Errors
    /// When the file cannot be read, or what is wrong with it.
    pub fn load(path: &Path) -> Result<Self, SettingsError> {
        let shown = || path.display().to_string();
        let text = fs::read_to_string(path).map_err(|cause| SettingsError::Unreadable {
            path: shown(),
            cause,
        })?;
        let invalid = |cause: String| SettingsError::Invalid {
            path: shown(),
            cause,
        };
        let mut settings: Self =
            toml::from_str(&text).map_err(|error| invalid(error.to_string()))?;
        if settings.endpoints.is_empty() {
            return Err(invalid(
                "`endpoints` is empty: name the engine's members, such as [\"https://192.0.2.10:2379\"]".to_owned(),
            ));
        }
        let mut urls = settings.endpoints.iter();
        if let Some(url) = urls.find(|url| !url.starts_with("https://")) {
            return Err(invalid(format!(
                "the endpoint {url:?} is not an https:// URL: the fleet speaks TLS only"
            )));
        }
        settings
            .instance()
            .map_err(|error| invalid(format!("`instance`: {error}")))?;
        let directory = path.parent().unwrap_or(Path::new("")).to_owned();
        for file in [
            &mut settings.authority,
            &mut settings.certificate,
            &mut settings.key,
            &mut settings.verify_key,
            &mut settings.state,
        ]
        .into_iter()
        .chain(&mut settings.signing_key)
        .chain(&mut settings.content_authority)
        {
            *file = directory.join(&*file);
        }
        Ok(settings)
    }

    /// The geofence of this node.
    ///
    /// # Errors
    /// When the name is none.
    pub fn instance(&self) -> Result<Instance, geofence_user::os::instance::BadName> {
        self.instance.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "fleet = \"main\"\nendpoints = [\"https://192.0.2.10:2379\"]\nauthority = \"ca.pem\"\n\
                         certificate = \"/etc/n.pem\"\nkey = \"n.key\"\nverify-key = \"verify.pub\"\nnode = \"e1\"\n";

    fn read(text: &str) -> Result<Settings, String> {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("fleet.toml");
        fs::write(&file, text).unwrap();
        let settings = Settings::load(&file).map_err(|error| error.to_string())?;
        assert_eq!(settings.authority, place.path().join("ca.pem"));
        assert_eq!(settings.certificate, Path::new("/etc/n.pem"));
        Ok(settings)
    }

    #[test]
    fn relative_paths_start_beside_the_file_and_the_rest_has_defaults() {
        let settings = read(WHOLE).unwrap();
        assert_eq!(settings.instance, "geofence");
        assert_eq!(settings.listen, None);
    }

    #[test]
    fn errors_name_the_file_and_the_way_out() {
        for (text, expected) in [
            (WHOLE.replace("node =", "nodes ="), "unknown field `nodes`"),
            (WHOLE.replace("https:", "http:"), "speaks TLS only"),
            (WHOLE.replace("\"main\"", "\"a/b\""), "is not a valid name"),
            (
                WHOLE.replace("[\"https://192.0.2.10:2379\"]", "[]"),
                "`endpoints` is empty",
            ),
        ] {
            let error = read(&text).unwrap_err();
            assert!(
                error.contains(expected) && error.contains("fleet.toml"),
                "{error}"
            );
        }
        let error = Settings::load(Path::new("/nowhere/fleet.toml")).unwrap_err();
        assert!(error.to_string().contains("geofence-fleet bootstrap"));
    }
}
