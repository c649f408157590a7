//! Where a GeoIP database is fetched from.

use std::fmt;
use std::path::PathBuf;

use super::secret::{Access, SecretSource};
use super::server_url::hide_secrets;
use super::word::Word;

/// A database file that is kept current.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeoipSource {
    /// The file that the configuration names as a database.
    pub file: PathBuf,
    pub origin: GeoipOrigin,
}

/// Who gives the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GeoipOrigin {
    MaxMind {
        server: String,
        edition: Option<String>,
        account: String,
        license_key: SecretSource,
    },
    DbIp {
        server: String,
        edition: Option<String>,
    },
    IpInfo {
        server: String,
        edition: Option<String>,
        token: SecretSource,
    },
    Url {
        url: String,
        access: Access,
    },
    File(PathBuf),
}

/// The vendor of a database, as a configuration says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    MaxMind,
    DbIp,
    IpInfo,
    Url,
    Copy,
}

impl Word for Vendor {
    const WORDS: &'static [(&'static str, Self, &'static str)] = &[
        (
            "maxmind",
            Self::MaxMind,
            "GeoLite2 or GeoIP2 of MaxMind; needs `account` and `license-key`",
        ),
        (
            "db-ip",
            Self::DbIp,
            "the free databases of DB-IP, which are new every month; needs no account",
        ),
        (
            "ipinfo",
            Self::IpInfo,
            "IPinfo Lite, which is new every day; needs `token`",
        ),
        ("url", Self::Url, "any other `url`"),
        (
            "copy",
            Self::Copy,
            "a file that something else puts in place, by the key `from`",
        ),
    ];
}

impl GeoipOrigin {
    /// The vendor as a configuration says it.
    #[must_use]
    pub const fn vendor(&self) -> Vendor {
        match self {
            Self::MaxMind { .. } => Vendor::MaxMind,
            Self::DbIp { .. } => Vendor::DbIp,
            Self::IpInfo { .. } => Vendor::IpInfo,
            Self::Url { .. } => Vendor::Url,
            Self::File(_) => Vendor::Copy,
        }
    }

    /// The edition, if the configuration names one.
    #[must_use]
    pub fn edition(&self) -> Option<&str> {
        match self {
            Self::MaxMind { edition, .. }
            | Self::DbIp { edition, .. }
            | Self::IpInfo { edition, .. } => edition.as_deref(),
            Self::Url { .. } | Self::File(_) => None,
        }
    }
}

/// The vendor and the edition, or the URL or file.
impl fmt::Display for GeoipOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::MaxMind { .. } => "MaxMind",
            Self::DbIp { .. } => "DB-IP Lite",
            Self::IpInfo { .. } => "IPinfo",
            Self::Url { url, .. } => return f.write_str(&hide_secrets(url)),
            Self::File(path) => return path.display().fmt(f),
        };
        f.write_str(name)?;
        match self.edition() {
            Some(edition) => write!(f, " {edition}"),
            None => Ok(()),
        }
    }
}
