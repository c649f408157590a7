//! The disk of a machine, which outlives a reboot: files written one after the other, without a file system.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

/// The disk as a machine sees it, and how large it is.
const DEVICE: &str = "/dev/vda";
pub(super) const BYTES: u64 = 64 << 20;

/// What a disk with files begins with; an empty one is all zero.
const MAGIC: [u8; 8] = *b"geofence";

/// A file: its name in its directory, and its content.
type Entry = (String, Vec<u8>);

/// Writes the files of a directory to the disk.
pub(super) fn save(directory: &Path) -> Result<usize> {
    let mut bytes = MAGIC.to_vec();
    let mut count = 0;
    for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let entry = entry?;
        if !entry.file_type()?.is_file() {
            continue;
        }
        let name = entry.file_name().into_string().unwrap_or_default();
        let content = fs::read(entry.path())?;
        for length in [name.len(), content.len()] {
            bytes.extend(u64::try_from(length)?.to_le_bytes());
        }
        bytes.extend(name.bytes());
        bytes.extend(content);
        count += 1;
    }
    // A name without letters ends the files.
    bytes.extend([0; 16]);
    ensure!(bytes.len() as u64 <= BYTES, "the disk is too small");
    let mut disk = OpenOptions::new()
        .write(true)
        .open(DEVICE)
        .context(DEVICE)?;
    disk.write_all(&bytes)?;
    disk.sync_all()?;
    Ok(count)
}

/// The files that an earlier boot has written; none on the first boot, and in a machine without a disk.
pub(super) fn saved() -> Result<Vec<Entry>> {
    let Ok(mut disk) = File::open(DEVICE) else {
        return Ok(Vec::new());
    };
    let mut entries = Vec::new();
    let mut magic = [0; MAGIC.len()];
    disk.read_exact(&mut magic)?;
    if magic != MAGIC {
        return Ok(entries);
    }
    loop {
        let mut lengths = [[0; 8]; 2];
        for length in &mut lengths {
            disk.read_exact(length)?;
        }
        let [name, content] = lengths.map(u64::from_le_bytes);
        if name == 0 {
            return Ok(entries);
        }
        ensure!(name + content <= BYTES, "the disk is damaged");
        let mut text = vec![0; usize::try_from(name)?];
        let mut bytes = vec![0; usize::try_from(content)?];
        disk.read_exact(&mut text)?;
        disk.read_exact(&mut bytes)?;
        entries.push((String::from_utf8(text)?, bytes));
    }
}

/// Writes those files into a directory.
pub(super) fn restore(entries: &[Entry], directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)?;
    for (name, content) in entries {
        fs::write(directory.join(name), content)?;
    }
    Ok(())
}
