//! The database of a vendor, of a URL or in a file.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use jiff::ToSpan as _;
use jiff::tz::Offset;
use sha2::{Digest as _, Sha256};

use super::archive::{DATABASE_BYTES_MAX, unpack};
use super::state::FileState;
use crate::data::fetch::{FetchError, Fetched, Request, Secrets, Validators, fetch};
use crate::model::geoip_source::GeoipOrigin;
use crate::model::secret::{Access, Login, SecretSource};
use crate::model::units::UnixSeconds;
use crate::os::credentials;
use crate::os::input;

/// What a database is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Countries,
    AutonomousSystems,
    /// One file has both.
    Both,
}

/// A database that was obtained.
#[derive(Debug)]
pub struct Downloaded {
    pub bytes: Vec<u8>,
    /// What is to be remembered once it is in place.
    pub state: FileState,
}

/// Why there is none.
#[derive(Debug)]
pub struct ObtainError {
    pub why: String,
    /// How long the server asks to be left alone.
    pub retry_after: Option<Duration>,
}

impl From<String> for ObtainError {
    fn from(why: String) -> Self {
        Self {
            why,
            retry_after: None,
        }
    }
}

impl From<FetchError> for ObtainError {
    fn from(error: FetchError) -> Self {
        Self {
            retry_after: error.retry_after(),
            why: error.to_string(),
        }
    }
}

/// Where to ask.
struct Place {
    url: String,
    secrets: Secrets,
    /// Where the vendor gives the SHA-256 of what it sends.
    sha256: Option<String>,
}

/// The SHA-256 of these bytes, in hexadecimal.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        _ = write!(text, "{byte:02x}");
        text
    })
}

/// Gets a database; nothing if the one that `known` describes is still current.
///
/// # Errors
/// Why there is none. No secret is in the text.
pub fn obtain(
    origin: &GeoipOrigin,
    role: Role,
    known: &FileState,
    now: UnixSeconds,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<Option<Downloaded>, ObtainError> {
    let places = match origin {
        GeoipOrigin::File(path) => return copy(path, known, now),
        GeoipOrigin::Url { url, access } => {
            let secrets = Secrets::of(access).map_err(|error| error.to_string())?;
            vec![Place {
                url: url.clone(),
                secrets,
                sha256: None,
            }]
        }
        GeoipOrigin::MaxMind { .. } | GeoipOrigin::DbIp { .. } | GeoipOrigin::IpInfo { .. } => {
            vendor_places(origin, role, now).map_err(|error| error.to_string())?
        }
    };
    let last = places.len().saturating_sub(1);
    for (number, place) in places.iter().enumerate() {
        match from(place, known, now, progress) {
            // Of a database that is new every month, this month's may not be there yet.
            Err(Error::Missing(_)) if number < last => {}
            Err(Error::Missing(error) | Error::Other(error)) => {
                return Err(ObtainError {
                    why: place.secrets.hide_in(&error.why),
                    ..error
                });
            }
            Ok(downloaded) => return Ok(downloaded),
        }
    }
    Ok(None)
}

enum Error {
    /// There is nothing under the URL.
    Missing(ObtainError),
    Other(ObtainError),
}

impl From<FetchError> for Error {
    fn from(error: FetchError) -> Self {
        if error.is_missing() {
            Self::Missing(error.into())
        } else {
            Self::Other(error.into())
        }
    }
}

impl From<String> for Error {
    fn from(why: String) -> Self {
        Self::Other(why.into())
    }
}

/// The places of a vendor's database; the first that has it counts.
fn vendor_places(
    origin: &GeoipOrigin,
    role: Role,
    now: UnixSeconds,
) -> Result<Vec<Place>, credentials::CredentialError> {
    let edition = |countries: &'static str, systems: &'static str| {
        let free = if role == Role::AutonomousSystems {
            systems
        } else {
            countries
        };
        origin.edition().unwrap_or(free).to_owned()
    };
    let base = |server: &str| server.trim_end_matches('/').to_owned();
    Ok(match origin {
        GeoipOrigin::MaxMind {
            server,
            account,
            license_key,
            ..
        } => {
            let (server, edition) = (base(server), edition("GeoLite2-Country", "GeoLite2-ASN"));
            let url = format!("{server}/geoip/databases/{edition}/download?suffix=tar.gz");
            vec![Place {
                sha256: Some(format!("{url}.sha256")),
                url,
                secrets: Secrets::of(&basic(account, license_key))?,
            }]
        }
        GeoipOrigin::DbIp { server, .. } => {
            let edition = edition("dbip-country-lite", "dbip-asn-lite");
            let months = months(now).into_iter();
            months
                .map(|month| Place {
                    url: format!("{}/free/{edition}-{month}.mmdb.gz", base(server)),
                    secrets: Secrets::default(),
                    sha256: None,
                })
                .collect()
        }
        GeoipOrigin::IpInfo { server, token, .. } => {
            let edition = edition("ipinfo_lite", "ipinfo_lite");
            let token = credentials::read(token)?;
            vec![Place {
                url: format!("{}/data/{edition}.mmdb", base(server)),
                secrets: Secrets::default().with_parameter("token", token),
                sha256: None,
            }]
        }
        GeoipOrigin::Url { .. } | GeoipOrigin::File(_) => Vec::new(),
    })
}

fn basic(user: &str, password: &SecretSource) -> Access {
    Access {
        headers: Vec::new(),
        login: Some(Login::Basic {
            user: user.to_owned(),
            password: password.clone(),
        }),
    }
}

/// This month and the one before: `2026-06`.
fn months(now: UnixSeconds) -> Vec<String> {
    let now = Timestamp::from_second(now.0.cast_signed()).unwrap_or_default();
    let date = Offset::UTC.to_datetime(now).date().first_of_month();
    let before = date.saturating_sub(1.month());
    [date, before]
        .map(|date| date.strftime("%Y-%m").to_string())
        .into()
}

fn from(
    place: &Place,
    known: &FileState,
    now: UnixSeconds,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<Option<Downloaded>, Error> {
    let Place {
        url,
        secrets,
        sha256: checksum_url,
    } = place;
    // What is known about the database of another URL says nothing about this one.
    let known = Some(known).filter(|known| known.source == *url);
    let expected = match checksum_url {
        Some(url) => Some(checksum(url, secrets)?),
        None => None,
    };
    if let (Some(expected), Some(known)) = (&expected, known)
        && known.vendor_sha256.as_ref() == Some(expected)
    {
        return Ok(None);
    }
    let request = Request {
        url,
        secrets,
        known: known.map_or_else(Validators::default, |known| Validators {
            etag: known.etag.clone(),
            last_modified: known.last_modified.clone(),
        }),
        accept: None,
        json: None,
        bytes_max: DATABASE_BYTES_MAX.min(input::room()),
        what: "database",
    };
    let text = match fetch(&request, progress)? {
        Fetched::Text(text) => text,
        Fetched::Unchanged if known.is_some() => return Ok(None),
        Fetched::Unchanged => {
            return Err(Error::from(format!(
                "{url}: the server says that nothing has changed, but nothing was fetched before; ask its operator"
            )));
        }
    };
    if let Some(expected) = &expected
        && sha256(&text.bytes) != *expected
    {
        return Err(Error::from(format!(
            "{url}: the SHA-256 of the answer is not the one that the vendor gives, so it was cut short or changed; \
             try again"
        )));
    }
    let bytes = unpack(text.bytes).map_err(|what| format!("{url}: the answer {what}"))?;
    Ok(Some(Downloaded {
        state: FileState {
            source: url.clone(),
            etag: text.validators.etag,
            last_modified: text.validators.last_modified,
            vendor_sha256: expected,
            file_sha256: sha256(&bytes),
            confirmed: Some(now),
            ..FileState::default()
        },
        bytes,
    }))
}

/// The SHA-256 that a vendor gives: the first word of a short text.
fn checksum(url: &str, secrets: &Secrets) -> Result<String, Error> {
    const BYTES_MAX: u64 = 4096;
    let request = Request {
        url,
        secrets,
        known: Validators::default(),
        accept: None,
        json: None,
        bytes_max: BYTES_MAX,
        what: "database",
    };
    let text = match fetch(&request, &mut |_, _| {})? {
        Fetched::Text(text) => String::from_utf8(text.bytes).unwrap_or_default(),
        Fetched::Unchanged => String::new(),
    };
    let word = text.split_whitespace().next().unwrap_or_default();
    if word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(word.to_ascii_lowercase());
    }
    Err(Error::from(format!(
        "{url}: this is not a SHA-256; check `account`, `edition` and `server` in the configuration"
    )))
}

fn copy(
    path: &std::path::Path,
    known: &FileState,
    now: UnixSeconds,
) -> Result<Option<Downloaded>, ObtainError> {
    let name = path.display().to_string();
    let bytes = input::read(path, DATABASE_BYTES_MAX);
    let bytes = bytes.map_err(|error| format!("{name}: {error}; check `from`"))?;
    let bytes = unpack(bytes).map_err(|what| format!("{name}: the file {what}"))?;
    let file_sha256 = sha256(&bytes);
    if known.source == name && known.file_sha256 == file_sha256 {
        return Ok(None);
    }
    Ok(Some(Downloaded {
        state: FileState {
            source: name,
            file_sha256,
            confirmed: Some(now),
            ..FileState::default()
        },
        bytes,
    }))
}
