//! The last good image on disk, by which a machine filters after a boot at which its configuration or database cannot
//! be read, a copy of the configuration that the image came with, and the history of packets.
//!
//! An image is written under another name and renamed, so a reader finds the old image or the new one. The checksum
//! reveals a damaged file.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::compile::{Image, ImageError};
use crate::os::instance::{Instance, InstanceError, private_directory};
use crate::os::{input, replace, restart};

/// The size of the largest slot.
const IMAGE_BYTES_MAX: u64 = 4 << 30;
/// The largest history: its rows have a bound.
const HISTORY_BYTES_MAX: u64 = 32 << 20;

/// The state directory of an instance.
#[derive(Clone, Debug)]
pub struct StateDirectory {
    directory: PathBuf,
}

/// Why a file of the state directory cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error(transparent)]
    Directory(#[from] InstanceError),
    #[error("{doing} {path} failed: {cause}")]
    File {
        doing: &'static str,
        path: String,
        cause: std::io::Error,
    },
    #[error("{path} cannot be used: {cause}")]
    Image { path: String, cause: ImageError },
}

impl StateDirectory {
    #[must_use]
    pub fn of(instance: &Instance) -> Self {
        Self {
            directory: instance.state_directory(),
        }
    }

    /// Whether there is such a directory now.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.directory.is_dir()
    }

    /// What is lost without it, in sentences.
    #[must_use]
    pub fn loss(&self) -> String {
        format!(
            "THE STATE DIRECTORY {} IS GONE, and with it the last good image, the stored texts of lists, the runtime \
             exceptions and their log, and the history of packets. The filter goes on with the policy and the \
             exceptions that it has. Until the directory is back, no exception can be changed, and a boot without a \
             configuration or database filters by nothing. A running geofence may write only to the directories that \
             it was started with, so it cannot make another one. Restart geofence with {}: this makes the directory \
             and leaves no gap, and it ends the runtime exceptions",
            self.directory.display(),
            restart::how()
        )
    }

    fn image(&self) -> PathBuf {
        self.directory.join("image")
    }

    /// The copy of the configuration that the image came with.
    #[must_use]
    pub fn configuration(&self) -> PathBuf {
        self.directory.join("configuration.toml")
    }

    /// Removes what an earlier process left half-written. The caller holds the instance's lock.
    pub fn remove_unfinished(&self) {
        replace::remove_unfinished(&self.directory);
    }

    /// Saves the text of a configuration, unless it is saved already.
    pub fn save_configuration(&self, text: &str) -> Result<(), StateError> {
        let path = self.configuration();
        if input::read_text(&path).is_ok_and(|saved| saved == text) {
            return Ok(());
        }
        replace(&path, text.as_bytes())
    }

    /// Saves an image in place of the previous one.
    pub fn save(&self, image: &Image) -> Result<(), StateError> {
        replace(&self.image(), &image.to_bytes())
    }

    fn types(&self) -> PathBuf {
        self.directory.join("database-types.json")
    }

    /// Saves the types of the databases that the image was made from, unless they are saved already.
    pub fn save_database_types(&self, types: &[String]) -> Result<(), StateError> {
        if self.database_types() == types {
            return Ok(());
        }
        let text = serde_json::to_vec(types).unwrap_or_default();
        replace(&self.types(), &text)
    }

    /// The types that were saved last; empty if they are not known.
    #[must_use]
    pub fn database_types(&self) -> Vec<String> {
        let text = input::read_text(&self.types()).ok();
        let types = text.and_then(|text| serde_json::from_str(&text).ok());
        types.unwrap_or_default()
    }

    fn accepted(&self) -> PathBuf {
        self.directory.join("accepted-lockouts.json")
    }

    /// Saves the peers that the policy locks out and an operator has accepted to, unless they are saved already.
    pub fn save_accepted_peers<T>(&self, peers: &[T]) -> Result<(), StateError>
    where
        T: Serialize + DeserializeOwned + PartialEq,
    {
        if self.accepted_peers::<T>() == peers {
            return Ok(());
        }
        let text = serde_json::to_vec(peers).unwrap_or_default();
        replace(&self.accepted(), &text)
    }

    /// The peers that were saved last; none if they are not known.
    #[must_use]
    pub fn accepted_peers<T: DeserializeOwned>(&self) -> Vec<T> {
        let text = input::read_text(&self.accepted()).ok();
        let peers = text.and_then(|text| serde_json::from_str(&text).ok());
        peers.unwrap_or_default()
    }

    fn history(&self) -> PathBuf {
        self.directory.join("history.json")
    }

    /// Saves the history of packets in place of the previous one.
    pub fn save_history(&self, bytes: &[u8]) -> Result<(), StateError> {
        replace(&self.history(), bytes)
    }

    /// The history that was saved last.
    pub fn load_history(&self) -> std::io::Result<Vec<u8>> {
        input::read(&self.history(), HISTORY_BYTES_MAX)
    }

    /// The image that was saved last, if there is one.
    pub fn load(&self) -> Result<Option<Image>, StateError> {
        let path = self.image();
        let failed = |cause| StateError::File {
            doing: "reading",
            path: path.display().to_string(),
            cause,
        };
        let bytes = match input::read(&path, IMAGE_BYTES_MAX) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            read => read.map_err(failed)?,
        };
        let image = Image::from_bytes(&bytes).map_err(|cause| StateError::Image {
            path: path.display().to_string(),
            cause,
        })?;
        Ok(Some(image))
    }
}

/// Replaces a file of a private directory in one step, readable only by its owner. It survives a power cut.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), StateError> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    private_directory(directory)?;
    replace::replace(path, &[bytes]).map_err(|cause| StateError::File {
        doing: "writing",
        path: path.display().to_string(),
        cause,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::compile::{Boot, Target, compile};
    use crate::config::Config;
    use crate::data::geoip::Database;
    use crate::model::units::UnixSeconds;

    fn image(generation: u32) -> Image {
        let target = Target {
            generation,
            slot: 0,
            compiled: UnixSeconds(0),
            boot: Boot::default(),
            lines_max: u32::MAX,
        };
        compile(
            &Config::default().policy,
            &Database::embedded().unwrap(),
            &target,
        )
        .unwrap()
    }

    #[test]
    fn the_last_saved_image_is_loaded_and_a_damaged_one_refused() {
        let place = tempfile::tempdir().unwrap();
        let state = StateDirectory {
            directory: place.path().join("state"),
        };
        assert!(state.load().unwrap().is_none());
        state.save(&image(1)).unwrap();
        state.save(&image(2)).unwrap();
        assert_eq!(state.load().unwrap().unwrap(), image(2));
        let mut bytes = fs::read(state.image()).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(state.image(), &bytes).unwrap();
        let said = state.load().unwrap_err().to_string();
        assert!(said.contains("damaged"), "{said}");
        fs::write(state.image(), &bytes[..last]).unwrap();
        assert!(state.load().is_err());
    }
}
