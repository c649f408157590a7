//! Leaves DWARF sections out of an ELF object: the kernel reads BTF only, and they are most of the object's bytes.
//!
//! Sections keep their numbers, so no symbol and no relocation changes: what is left out becomes an empty section.

use std::mem::size_of;

use anyhow::{Context as _, Result};
use object::elf::{FileHeader64, SHT_NOBITS, SHT_NULL, SectionHeader64};
use object::read::elf::{FileHeader as _, SectionHeader as _};
use object::{Endianness, pod};

type Header = FileHeader64<Endianness>;
type Section = SectionHeader64<Endianness>;

/// Copies an object without the sections of DWARF and their relocations.
pub(crate) fn remove(object: &[u8]) -> Result<Vec<u8>> {
    let mut header: Header = *Header::parse(object).context("reading the object's header")?;
    let endian = header.endian()?;
    let sections = header.sections(endian, object)?;
    let mut copy = vec![0; size_of::<Header>()];
    let mut headers: Vec<Section> = Vec::new();
    for section in sections.iter() {
        let mut kept = *section;
        let name = sections.section_name(endian, section)?;
        if is_debug(name) {
            kept.sh_type.set(endian, SHT_NULL);
            kept.sh_offset.set(endian, 0);
            kept.sh_size.set(endian, 0);
        } else if ![SHT_NULL, SHT_NOBITS].contains(&section.sh_type(endian)) {
            align(&mut copy, section.sh_addralign(endian));
            kept.sh_offset.set(endian, copy.len() as u64);
            copy.extend_from_slice(section.data(endian, object)?);
        }
        headers.push(kept);
    }
    align(&mut copy, size_of::<u64>() as u64);
    header.e_shoff.set(endian, copy.len() as u64);
    copy.extend_from_slice(pod::bytes_of_slice(&headers));
    copy[..size_of::<Header>()].copy_from_slice(pod::bytes_of(&header));
    Ok(copy)
}

fn is_debug(name: &[u8]) -> bool {
    let name = name.strip_prefix(b".rel").unwrap_or(name);
    name.starts_with(b".debug_")
}

fn align(bytes: &mut Vec<u8>, alignment: u64) {
    let alignment = usize::try_from(alignment).unwrap_or(1).max(1);
    bytes.resize(bytes.len().next_multiple_of(alignment), 0);
}
