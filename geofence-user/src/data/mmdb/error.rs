//! What can be wrong with a database file, each with a way out.
//!
//! Every message names the file, so callers need not add it.

use std::io;

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error("database {file} does not exist; {help}")]
    Missing { file: String, help: String },

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

    #[error(
        "database {file} is a zstd file of {packed} bytes that unpacks to more than {limit_mib} MiB, so it is not \
         a database; fetch it again"
    )]
    Bomb {
        file: String,
        packed: usize,
        limit_mib: u64,
    },

    #[error("database {file} is {format}, not an MMDB file; {help}")]
    Packed {
        file: String,
        format: &'static str,
        help: &'static str,
    },

    #[error(
        "database {file} is a web page, not an MMDB file; the download probably needs a login or a licence key, so \
         open its address in a browser and download the file itself"
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
        "database {file} is of the wrong type ({database_type}): none of its {networks} networks has {lacks}; use \
         {instead}"
    )]
    WrongType {
        file: String,
        database_type: String,
        networks: usize,
        lacks: &'static str,
        instead: &'static str,
    },

    #[error(
        "database {file} has countries, but none by an ISO 3166-1 alpha-2 code (it says {codes}); use a database with \
         two-letter country codes"
    )]
    ForeignCodes { file: String, codes: String },

    #[error(
        "the list of databases is empty; name at least one, or leave `databases` out to use the embedded database"
    )]
    NoFiles,
}

impl DatabaseError {
    /// The same error for a file that a key other than `databases` names.
    #[must_use]
    pub(crate) fn under(mut self, key: &'static str) -> Self {
        if let Self::Missing { help, .. } = &mut self {
            *help = format!("check the path under `{key}` in the configuration");
        }
        self
    }
}
