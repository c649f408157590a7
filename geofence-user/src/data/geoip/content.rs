//! The bytes of a database file: read whole, recognised by content, decompressed if they are a zstd frame.
//!
//! File names mean nothing here; downloads come under any. Files are never mapped, because an update in place would
//! change a mapping under the reader.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use super::error::Error;

/// The largest file accepted, and the most a zstd file may unfold to. City databases stay below 150 MiB.
const SIZE_MAX_MIB: u64 = 1024;
const SIZE_MAX: u64 = SIZE_MAX_MIB << 20;

/// How much of a file is searched for the start of a web page.
const PAGE_HEAD: usize = 512;

/// Reads a file whole.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let name = path.display().to_string();
    let attempt = || -> io::Result<Vec<u8>> {
        // Asked first, because opening a pipe that nobody writes to would wait for ever.
        let metadata = std::fs::metadata(path)?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let mut bytes = Vec::new();
        File::open(path)?
            .take(SIZE_MAX + 1)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match attempt() {
        Ok(bytes) => Ok(bytes),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Err(Error::Missing { file: name }),
        Err(cause) => Err(Error::Unreadable { file: name, cause }),
    }
}

/// The MMDB bytes in what was read, or what else it is. Only recognises formats; says nothing of MMDB's own.
pub(super) fn unpack(name: &str, bytes: Vec<u8>) -> Result<Vec<u8>, Error> {
    let file = || name.to_owned();
    if bytes.is_empty() {
        return Err(Error::Empty { file: file() });
    }
    if bytes.len() as u64 > SIZE_MAX {
        return Err(oversized(name));
    }
    if bytes.starts_with(b"\x28\xb5\x2f\xfd") {
        let unpacked = decompress(name, &bytes)?;
        if unpacked.is_empty() {
            return Err(Error::Empty { file: file() });
        }
        return Ok(unpacked);
    }
    if let Some((format, way_out)) = packing(&bytes) {
        return Err(Error::Packed {
            file: file(),
            format,
            way_out,
        });
    }
    if is_web_page(&bytes) {
        return Err(Error::WebPage { file: file() });
    }
    Ok(bytes)
}

fn oversized(name: &str) -> Error {
    Error::Oversized {
        file: name.to_owned(),
        limit_mib: SIZE_MAX_MIB,
    }
}

fn decompress(name: &str, bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let corrupt = |cause: io::Error| Error::Corrupt {
        file: name.to_owned(),
        cause: format!("its zstd compression does not unpack ({cause})"),
    };
    let mut unpacked = Vec::new();
    zstd::Decoder::new(bytes)
        .map_err(corrupt)?
        .take(SIZE_MAX + 1)
        .read_to_end(&mut unpacked)
        .map_err(corrupt)?;
    if unpacked.len() as u64 > SIZE_MAX {
        return Err(oversized(name));
    }
    Ok(unpacked)
}

/// A known container format and the way out of it.
fn packing(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    const UNPACK: &str = "unpack it and name the .mmdb file that was inside";
    if bytes.starts_with(b"\x1f\x8b") {
        Some((
            "a gzip file",
            "unpack it with gunzip (or tar -xzf if its name ends in .tar.gz) and name the .mmdb file that was inside",
        ))
    } else if bytes.get(257..262) == Some(b"ustar") {
        Some((
            "a tar archive",
            "unpack it with tar -xf and name the .mmdb file that was inside",
        ))
    } else if bytes.starts_with(b"PK\x03\x04") {
        Some((
            "a zip archive",
            "unpack it with unzip and name the .mmdb file that was inside",
        ))
    } else if bytes.starts_with(b"\xfd7zXZ\x00") {
        Some(("an xz file", UNPACK))
    } else if bytes.starts_with(b"BZh") {
        Some(("a bzip2 file", UNPACK))
    } else {
        None
    }
}

fn is_web_page(bytes: &[u8]) -> bool {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(PAGE_HEAD)]).to_ascii_lowercase();
    let head = head.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    head.starts_with("<!doctype html") || head.starts_with("<html") || head.starts_with("<?xml")
}
