//! Files of certificates.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::input;

/// The largest file of certificates.
const BYTES_MAX: u64 = 1 << 20;

/// Every certificate in a PEM file, of which there is at least one.
///
/// # Errors
/// What is wrong with the file, with its name.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = read_pem(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|error| format!("{}: {error}", path.display()))?;
    if found.is_empty() {
        return Err(format!("{} has no certificate", path.display()));
    }
    Ok(found)
}

/// The bytes of a file of certificates or a key.
///
/// # Errors
/// Why it cannot be read, with its name.
pub fn read_pem(path: &Path) -> Result<Vec<u8>, String> {
    input::read(path, BYTES_MAX).map_err(|error| format!("{}: {error}", path.display()))
}
