//! One image in the kernel: an array of a single element, so that the data path looks it up once and then only loads.
//!
//! The element is written and read through shared memory, because a system call would copy all of its room each time.
//! Whether anybody reads while it is written is the business of whoever swaps images.

#![expect(unsafe_code, reason = "shared memory is reached through pointers only")]

use std::num::NonZeroUsize;
use std::ptr::NonNull;

use aya::maps::{MapData, MapError};
use aya_obj::generated::{BPF_F_MMAPABLE, bpf_map_type::BPF_MAP_TYPE_ARRAY};
use geofence_common::image::{LINE_WORDS, Line};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// An array of one image.
pub(super) struct ImageMap(MapData);

/// Lines of the element, mapped for as long as this lives.
struct Mapped {
    lines: NonNull<Line>,
    count: usize,
}

impl ImageMap {
    /// Makes room for this many lines.
    pub(super) fn create(lines: u32) -> Result<Self, MapError> {
        let size = lines.saturating_mul(size_of::<Line>() as u32);
        let map =
            aya_obj::Map::new_from_params(BPF_MAP_TYPE_ARRAY as u32, 4, size, 1, BPF_F_MMAPABLE);
        MapData::create(map, "image", None).map(Self)
    }

    /// Takes a map that exists.
    pub(super) fn of(map: MapData) -> Self {
        Self(map)
    }

    /// The map itself, to be put into another.
    pub(super) fn data(&self) -> &MapData {
        &self.0
    }

    /// Whether it is shaped as `create` shapes it: one taken from a running filter may be of another version.
    pub(super) fn is_ours(&self) -> Result<bool, MapError> {
        let info = self.0.info()?;
        Ok(info.max_entries() == 1 && info.map_flags() & BPF_F_MMAPABLE != 0)
    }

    /// Writes an image from the first line on.
    pub(super) fn write(&mut self, image: &[Line]) -> std::io::Result<()> {
        let mapped = self.map(image.len(), ProtFlags::PROT_READ | ProtFlags::PROT_WRITE)?;
        // SAFETY: so many lines are mapped for writing, and memory of the kernel's overlaps none of ours.
        unsafe {
            mapped
                .lines
                .copy_from_nonoverlapping(NonNull::from(image).cast(), image.len())
        };
        Ok(())
    }

    /// Changes one word of the first line; a packet sees the one or the other.
    pub(super) fn set_word(&mut self, at: usize, word: u32) -> std::io::Result<()> {
        let mapped = self.map(1, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE)?;
        let at = at % LINE_WORDS;
        // SAFETY: one line is mapped for writing, and the word is one of its own, written at once.
        unsafe { mapped.lines.cast::<u32>().add(at).write_volatile(word) };
        Ok(())
    }

    /// Reads this many lines from the first on.
    pub(super) fn read(&self, count: usize) -> std::io::Result<Vec<Line>> {
        let mapped = self.map(count, ProtFlags::PROT_READ)?;
        // SAFETY: so many lines are mapped for reading, and any bits are a line. They may change under our hands if the
        // image is replaced twice meanwhile; a copy of words can take that.
        Ok((0..count)
            .map(|at| unsafe { mapped.lines.add(at).read_volatile() })
            .collect())
    }

    fn map(&self, count: usize, protection: ProtFlags) -> std::io::Result<Mapped> {
        let bytes = NonZeroUsize::new(count * size_of::<Line>()).unwrap_or(NonZeroUsize::MIN);
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
        let start = unsafe {
            mmap(
                None,
                bytes,
                protection,
                MapFlags::MAP_SHARED,
                self.0.fd(),
                0,
            )
        }?;
        Ok(Mapped {
            lines: start.cast(),
            count,
        })
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: the very mapping that `map` made; nothing refers into it once its owner is gone.
        let _ = unsafe { munmap(self.lines.cast(), (self.count * size_of::<Line>()).max(1)) };
    }
}
