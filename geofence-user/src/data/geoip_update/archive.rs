//! The database inside what a vendor gives: as it is, in a gzip file, or in a tar archive in one.
//!
//! What unpacks to more than a database can have is refused before it takes the memory.

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use tar::Archive;

use crate::os::input;

/// The most that a database has.
pub(super) const DATABASE_BYTES_MAX: u64 = 1 << 30;
/// How many times its size a packed database may unpack to, if that is more than the size below.
const UNPACKED_RATIO_MAX: u64 = 64;
const UNPACKED_MIN: u64 = 8 << 20;
/// The most files of an archive that are looked at. Vendors add a licence and a note.
const FILES_MAX: usize = 100;

/// Takes the database out of what it is packed in. An error says what is wrong, as the end of a sentence.
pub(super) fn unpack(bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    if !bytes.starts_with(b"\x1f\x8b") {
        return if is_tar(&bytes) {
            from_tar(bytes.as_slice(), bytes.len() as u64)
        } else {
            Ok(bytes)
        };
    }
    let limit = (bytes.len() as u64)
        .saturating_mul(UNPACKED_RATIO_MAX)
        .clamp(UNPACKED_MIN, DATABASE_BYTES_MAX)
        .min(input::room());
    let unpacked = read(MultiGzDecoder::new(bytes.as_slice()), limit)?;
    drop(bytes);
    if is_tar(&unpacked) {
        return from_tar(unpacked.as_slice(), limit);
    }
    Ok(unpacked)
}

fn is_tar(bytes: &[u8]) -> bool {
    bytes
        .get(257..)
        .is_some_and(|rest| rest.starts_with(b"ustar"))
}

/// The only file of an archive whose name ends in .mmdb.
fn from_tar(bytes: &[u8], limit: u64) -> Result<Vec<u8>, String> {
    let damaged = |error: io::Error| format!("is a damaged tar archive ({error})");
    let mut archive = Archive::new(bytes);
    let mut found = None;
    for entry in archive.entries().map_err(damaged)?.take(FILES_MAX) {
        let entry = entry.map_err(damaged)?;
        let is_file = entry.header().entry_type().is_file();
        let is_database = |path: &std::path::Path| path.extension() == Some("mmdb".as_ref());
        if !is_file || !entry.path().is_ok_and(|path| is_database(&path)) {
            continue;
        }
        if found.is_some() {
            return Err("has several databases; name the URL of one".to_owned());
        }
        found = Some(read(entry, limit)?);
    }
    found.ok_or_else(|| "has no file that ends in .mmdb; name the URL of a database".to_owned())
}

fn read(from: impl Read, limit: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut from = from.take(limit + 1);
    from.read_to_end(&mut bytes)
        .map_err(|error| format!("does not unpack ({error}); it was cut short or damaged"))?;
    if bytes.len() as u64 > limit {
        return Err(format!(
            "unpacks to more than {} MiB, so it is not a database",
            limit >> 20
        ));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tar::{Builder, Header};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap()
    }

    fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = Builder::new(Vec::new());
        for (name, bytes) in files {
            let mut header = Header::new_ustar();
            header.set_size(bytes.len() as u64);
            archive.append_data(&mut header, name, *bytes).unwrap();
        }
        archive.into_inner().unwrap()
    }

    #[test]
    fn database_is_found_however_it_is_packed() {
        let files: &[(&str, &[u8])] = &[
            ("GeoLite2_1/LICENSE.txt", b"words"),
            ("GeoLite2_1/GeoLite2.mmdb", b"data"),
        ];
        for packed in [
            b"data".to_vec(),
            gzip(b"data"),
            tar(files),
            gzip(&tar(files)),
        ] {
            assert_eq!(unpack(packed).unwrap(), b"data");
        }
    }

    #[test]
    fn archive_that_is_a_bomb_cut_short_or_without_a_database_is_refused() {
        let whole = gzip(&tar(&[("a.mmdb", &[7; 5000])]));
        let two: &[(&str, &[u8])] = &[("a.mmdb", b"1"), ("b.mmdb", b"2")];
        for (packed, said) in [
            (gzip(&vec![0; 16 << 20]), "unpacks to more than 8 MiB"),
            (
                gzip(&tar(&[("a.mmdb", &vec![0; 16 << 20])])),
                "unpacks to more than 8 MiB",
            ),
            (whole[..whole.len() / 2].to_vec(), "does not unpack"),
            (tar(&[("a.csv", b"1")]), "has no file that ends in .mmdb"),
            (tar(two), "has several databases"),
        ] {
            let refused = unpack(packed).unwrap_err();
            assert!(refused.contains(said), "{said}: {refused}");
        }
    }
}
