//! One image in the kernel: an array of a single element, so that the data path looks it up once and then only loads.
//!
//! The element is written and read through shared memory, because a system call would copy all of its size each time.
//! The caller must not write an image that packets read.

#![expect(unsafe_code, reason = "shared memory is reached through pointers only")]

use std::num::NonZeroUsize;
use std::ptr::NonNull;

use aya::maps::{MapData, MapError};
use aya_obj::generated::{BPF_F_MMAPABLE, bpf_map_type::BPF_MAP_TYPE_ARRAY};
use geofence_common::image::{LINE_WORDS, Line};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::call::is_permission;
use super::error::KernelError;

/// An array of one image.
pub(super) struct ImageMap(MapData);

/// Lines of the element, mapped until this is dropped.
struct Mapped {
    lines: NonNull<Line>,
    count: usize,
}

impl ImageMap {
    /// Creates a map with room for this many lines.
    pub(super) fn create(lines: u32) -> Result<Self, KernelError> {
        let size = lines.saturating_mul(size_of::<Line>() as u32);
        let map =
            aya_obj::Map::new_from_params(BPF_MAP_TYPE_ARRAY as u32, 4, size, 1, BPF_F_MMAPABLE);
        MapData::create(map, "image", None)
            .map(Self)
            .map_err(|error| {
                if is_permission(&error) {
                    KernelError::privilege(&error)
                } else {
                    KernelError::map("creating the image map")(error)
                }
            })
    }

    /// Wraps a map that exists.
    pub(super) fn of(map: MapData) -> Self {
        Self(map)
    }

    /// The map itself, to put into an outer map.
    pub(super) fn data(&self) -> &MapData {
        &self.0
    }

    /// The kernel's number of the map.
    pub(super) fn id(&self) -> Result<u32, MapError> {
        Ok(self.0.info()?.id())
    }

    /// Whether it has the shape that `create` gives it. A map of a running filter may come from another version.
    pub(super) fn has_this_shape(&self) -> Result<bool, MapError> {
        let info = self.0.info()?;
        Ok(info.max_entries() == 1 && info.map_flags() & BPF_F_MMAPABLE != 0)
    }

    /// Writes an image from the first line on.
    pub(super) fn write(&mut self, image: &[Line]) -> std::io::Result<()> {
        let mapped = self.map(image.len(), ProtFlags::PROT_READ | ProtFlags::PROT_WRITE)?;
        // SAFETY: this many lines are mapped for writing, and the mapping overlaps no memory of this process.
        unsafe {
            mapped
                .lines
                .copy_from_nonoverlapping(NonNull::from(image).cast(), image.len())
        };
        Ok(())
    }

    /// Changes one word of the first line. A packet reads either the old word or the new one.
    pub(super) fn set_word(&mut self, at: usize, word: u32) -> std::io::Result<()> {
        let mapped = self.map(1, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE)?;
        let at = at % LINE_WORDS;
        // SAFETY: one line is mapped for writing, and the word lies in it and is written with one store.
        unsafe { mapped.lines.cast::<u32>().add(at).write_volatile(word) };
        Ok(())
    }

    /// Reads this many lines from the first on.
    pub(super) fn read(&self, count: usize) -> std::io::Result<Vec<Line>> {
        let mapped = self.map(count, ProtFlags::PROT_READ)?;
        // SAFETY: this many lines are mapped for reading, and any bits are a valid line. They may change during the
        // copy if the image is replaced twice meanwhile; volatile reads of whole words allow that.
        Ok((0..count)
            .map(|at| unsafe { mapped.lines.add(at).read_volatile() })
            .collect())
    }

    fn map(&self, count: usize, protection: ProtFlags) -> std::io::Result<Mapped> {
        let bytes = NonZeroUsize::new(count * size_of::<Line>()).unwrap_or(NonZeroUsize::MIN);
        // SAFETY: a new mapping at an address that the kernel chooses touches no existing memory.
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
        // SAFETY: this is the mapping that `map` made, and nothing refers to it after its owner is dropped.
        let _ = unsafe { munmap(self.lines.cast(), (self.count * size_of::<Line>()).max(1)) };
    }
}
