//! What can be wrong with a database file, each with the way out.
//!
//! Every message names the file, so callers add nothing but where the name came from.

use std::io;

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "database {file} does not exist; check the path, or leave it out to use the embedded database"
    )]
    Missing { file: String },

    #[error("database {file} does not exist; check the path under `{key}` in the configuration")]
    MissingUnder { file: String, key: &'static str },

    #[error(
        "database {file} cannot be read: {cause}; it must be a regular file that this user may read"
    )]
    Unreadable { file: String, cause: io::Error },

    #[error("database {file} is empty; its download probably failed, so fetch it again")]
    Empty { file: String },

    #[error(
        "database {file} is larger than {limit_mib} MiB, more than any country database; \
         check that it is the right file"
    )]
    Oversized { file: String, limit_mib: u64 },

    #[error("database {file} is {format}, not an MMDB file; {way_out}")]
    Packed {
        file: String,
        format: &'static str,
        way_out: &'static str,
    },

    #[error(
        "database {file} is a web page, not an MMDB file; the download probably needs a login or a licence key, so \
         open its address in a browser and fetch the file itself"
    )]
    WebPage { file: String },

    #[error(
        "database {file} has no MMDB metadata at its end: it is not an MMDB file, or its download was cut short; \
         fetch it again in MMDB (binary) format"
    )]
    NotMmdb { file: String },

    #[error("database {file} is truncated or corrupt: {cause}; fetch it again")]
    Corrupt { file: String, cause: String },

    #[error("database {file} holds no networks; fetch it again or use another edition")]
    NoNetworks { file: String },

    #[error(
        "database {file} is of the wrong type ({database_type}): none of its {networks} networks has a country; use a \
         country database, for example GeoLite2-Country or DB-IP Country Lite"
    )]
    WrongType {
        file: String,
        database_type: String,
        networks: usize,
    },

    #[error(
        "database {file} is of the wrong type ({database_type}): none of its {networks} networks has an AS number; use \
         an ASN database, for example GeoLite2-ASN or DB-IP ASN Lite"
    )]
    WithoutSystems {
        file: String,
        database_type: String,
        networks: usize,
    },

    #[error(
        "database {file} has countries, but none by an ISO 3166-1 alpha-2 code (it says {codes}); use a database with \
         two-letter country codes"
    )]
    ForeignCodes { file: String, codes: String },

    #[error(
        "no database was named; name at least one, or none at all to use the embedded database"
    )]
    NoFiles,
}

impl Error {
    /// The same of a file that a key other than `databases` names.
    #[must_use]
    pub(crate) fn under(self, key: &'static str) -> Self {
        if let Self::Missing { file } = &self {
            let file = file.clone();
            return Self::MissingUnder { file, key };
        }
        self
    }
}
