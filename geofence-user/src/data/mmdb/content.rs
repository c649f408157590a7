//! The bytes of a database file: read whole, recognised by content, decompressed if they are a zstd frame.
//!
//! File names say nothing about the format, because downloads come under any name. A file is never mapped: an update in
//! place would change the mapping while it is read.

use std::io::{self, Read as _};
use std::path::Path;

use super::error::DatabaseError;
use crate::os::input;

/// The largest file accepted, and the most a zstd file may decompress to. City databases stay below 150 MiB.
const SIZE_MAX_MIB: u64 = 1024;
const SIZE_MAX: u64 = SIZE_MAX_MIB << 20;

/// How many times its size a zstd file may decompress to, if that is more than the size below.
const UNPACKED_RATIO_MAX: u64 = 32;
const UNPACKED_MIN: u64 = 8 << 20;

/// How many bytes are searched for the start of a web page.
const PAGE_HEAD: usize = 512;

/// Other file formats by their magic bytes and offset, each with what to do about it.
const PACKED: [(usize, &[u8], &str, &str); 5] = [
    (
        0,
        b"\x1f\x8b",
        "a gzip file",
        "unpack it with gunzip (or tar -xzf if its name ends in .tar.gz) and name the .mmdb file that was inside",
    ),
    (
        257,
        b"ustar",
        "a tar archive",
        "unpack it with tar -xf and name the .mmdb file that was inside",
    ),
    (
        0,
        b"PK\x03\x04",
        "a zip archive",
        "unpack it with unzip and name the .mmdb file that was inside",
    ),
    (
        0,
        b"\xfd7zXZ\x00",
        "an xz file",
        "unpack it and name the .mmdb file that was inside",
    ),
    (
        0,
        b"BZh",
        "a bzip2 file",
        "unpack it and name the .mmdb file that was inside",
    ),
];

/// Reads a file whole.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, DatabaseError> {
    let file = path.display().to_string();
    input::read(path, SIZE_MAX).map_err(|cause| {
        if cause.kind() == io::ErrorKind::NotFound {
            let help = "check the path, or leave it out to use the embedded database".to_owned();
            return DatabaseError::Missing { file, help };
        }
        if cause.kind() == io::ErrorKind::FileTooLarge {
            let limit_mib = SIZE_MAX_MIB;
            return DatabaseError::Oversized { file, limit_mib };
        }
        DatabaseError::Unreadable { file, cause }
    })
}

/// The MMDB bytes in a file's content, or what else the content is. Does not check the MMDB format itself.
pub(super) fn unpack(name: &str, bytes: Vec<u8>) -> Result<Vec<u8>, DatabaseError> {
    let file = name.to_owned();
    let bytes = if bytes.len() as u64 <= SIZE_MAX && bytes.starts_with(b"\x28\xb5\x2f\xfd") {
        decompress(name, &bytes)?
    } else {
        bytes
    };
    if bytes.is_empty() {
        return Err(DatabaseError::Empty { file });
    }
    if bytes.len() as u64 > SIZE_MAX {
        return Err(DatabaseError::Oversized {
            file,
            limit_mib: SIZE_MAX_MIB,
        });
    }
    let is_packed = |(at, magic, ..): &&(usize, &[u8], &str, &str)| {
        bytes.get(*at..).is_some_and(|rest| rest.starts_with(magic))
    };
    if let Some((_, _, format, help)) = PACKED.iter().find(is_packed) {
        return Err(DatabaseError::Packed { file, format, help });
    }
    if is_web_page(&bytes) {
        return Err(DatabaseError::WebPage { file });
    }
    Ok(bytes)
}

/// Decompresses as much as a database of this packed size can have; what has more is refused with the limit.
fn decompress(file: &str, packed: &[u8]) -> Result<Vec<u8>, DatabaseError> {
    let limit = (packed.len() as u64)
        .saturating_mul(UNPACKED_RATIO_MAX)
        .clamp(UNPACKED_MIN, SIZE_MAX)
        .min(input::room());
    let corrupt = |cause: io::Error| DatabaseError::Corrupt {
        file: file.to_owned(),
        cause: format!("its zstd compression does not unpack ({cause})"),
    };
    let mut unpacked = Vec::new();
    zstd::Decoder::new(packed)
        .and_then(|decoder| decoder.take(limit + 1).read_to_end(&mut unpacked))
        .map_err(corrupt)?;
    if unpacked.len() as u64 > limit {
        return Err(DatabaseError::Bomb {
            file: file.to_owned(),
            packed: packed.len(),
            limit_mib: limit >> 20,
        });
    }
    Ok(unpacked)
}

fn is_web_page(bytes: &[u8]) -> bool {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(PAGE_HEAD)]).to_ascii_lowercase();
    let head = head.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    head.starts_with("<!doctype html") || head.starts_with("<html") || head.starts_with("<?xml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zstd_file_that_inflates_out_of_proportion_is_refused() {
        let mut packed = zstd::Encoder::new(Vec::new(), 1).unwrap();
        io::copy(&mut io::repeat(0).take(64 << 20), &mut packed).unwrap();
        let error = unpack("bomb.mmdb", packed.finish().unwrap()).unwrap_err();
        let said = error.to_string();
        assert!(said.contains("unpacks to more than 8 MiB"), "{said}");
    }
}
