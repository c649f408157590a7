//! Puts images in place: writes one where no packet looks, and swaps it in with one call.

use std::os::fd::AsFd as _;

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, ArrayOfMaps, Map, MapData};
use geofence_common::image::{Line, Words as _, header};
use geofence_common::maps::{IMAGE_BEFORE, IMAGE_IN_USE, name};
use tracing::warn;

use super::error::KernelError;
use super::filter::Filter;
use super::retry;
use crate::compile::{Image, LpmPrefixes};
use crate::os::clock::boot_now;

impl Filter {
    /// The slot that the next image must be compiled for.
    #[must_use]
    pub fn next_slot(&self) -> u32 {
        match self.current {
            Some(0) => 1,
            Some(_) | None => 0,
        }
    }

    /// The generation of the image that packets read now, as the kernel has it.
    pub fn generation(&self) -> Result<u32, KernelError> {
        let line = self.first_line(IMAGE_IN_USE)?;
        let now = boot_now()?;
        let line = if [line].as_slice().is_past_trial(|| now) {
            self.first_line(IMAGE_BEFORE)?
        } else {
            line
        };
        Ok(line[header::GENERATION])
    }

    /// Checks that the image of this generation is in use, whatever else writes to the kernel's maps. The swap before
    /// it has succeeded, so a question that fails is logged and undoes nothing.
    fn confirm_generation(&self, wanted: u32) -> Result<(), KernelError> {
        let line = match self.first_line(IMAGE_IN_USE) {
            Ok(line) => line,
            Err(error @ KernelError::ForeignImage) => return Err(error),
            Err(error) => {
                warn!(
                    "image {wanted} was put in place, and the kernel does not confirm it: {error}"
                );
                return Ok(());
            }
        };
        match line[header::GENERATION] {
            found if found == wanted => Ok(()),
            found => Err(KernelError::OtherImage { wanted, found }),
        }
    }

    /// The first line of the image in a place that packets read.
    fn first_line(&self, place: u32) -> Result<Line, KernelError> {
        let doing = "reading which image is active";
        let failed = || KernelError::map(doing);
        let Map::ArrayOfMaps(outer) = self.map(name::IMAGES)? else {
            return Err(KernelError::NoMap(name::IMAGES));
        };
        // A process without capabilities cannot open a map by its number, so the numbers are read and compared.
        let copy = outer.fd().as_fd().try_clone_to_owned();
        let copy = MapData::from_fd(copy.map_err(KernelError::io(doing))?).map_err(failed())?;
        let numbers: Array<_, u32> = Map::Array(copy).try_into().map_err(failed())?;
        let number = numbers.get(&place, 0).map_err(failed())?;
        for image in &self.images {
            if image.id().map_err(failed())? == number {
                let lines = image.read(1).map_err(KernelError::io(doing))?;
                return lines.first().copied().ok_or(KernelError::ForeignImage);
            }
        }
        Err(KernelError::ForeignImage)
    }

    /// Writes an image to the idle slot and swaps it in.
    ///
    /// The swap returns after the last packet that reads the old image has finished, so the next call may overwrite
    /// that image. An error leaves the active image in place.
    pub fn install(
        &mut self,
        image: &Image,
        tries: Option<&LpmPrefixes>,
    ) -> Result<(), KernelError> {
        let idle = self.write_idle(image, tries)?;
        self.use_image(IMAGE_IN_USE, idle, "swapping the image")?;
        self.current = Some(idle);
        self.confirm_generation(image.generation())
    }

    /// Like `install`, for an image that was read from the kernel and whose own trie is used.
    pub(super) fn install_lines(&mut self, lines: &[Line]) -> Result<(), KernelError> {
        let idle = self.write_lines(lines)?;
        self.use_image(IMAGE_IN_USE, idle, "swapping the image")?;
        self.current = Some(idle);
        Ok(())
    }

    /// Like `install`, until a time in nanoseconds since boot. Then the kernel returns to the previous image by itself,
    /// unless `confirm` was called; neither `install` nor another trial may come in between.
    pub fn try_out(
        &mut self,
        image: &Image,
        tries: Option<&LpmPrefixes>,
        ends: u64,
    ) -> Result<(), KernelError> {
        let before = self.current.ok_or(KernelError::NothingBefore)?;
        let idle = self.write_idle(&image.clone().on_trial(ends), tries)?;
        self.use_image(IMAGE_BEFORE, before, "keeping the previous image")?;
        self.use_image(IMAGE_IN_USE, idle, "swapping the image")?;
        self.current = Some(idle);
        self.confirm_generation(image.generation())
    }

    /// Ends the trial of an image and keeps it.
    pub fn confirm(&mut self, image: &Image) -> Result<(), KernelError> {
        let current = self.current.ok_or(KernelError::NothingBefore)?;
        self.images[current]
            .set_word(header::FLAGS, image.flags().0 | self.observed)
            .map_err(KernelError::io("confirming the image"))?;
        self.confirm_generation(image.generation())
    }

    /// Returns to the image from before a trial, which has this generation.
    pub fn go_back(&mut self, generation: u32) -> Result<(), KernelError> {
        let before = self.next_slot() as usize;
        self.use_image(IMAGE_IN_USE, before, "swapping the image back")?;
        self.current = Some(before);
        self.confirm_generation(generation)
    }

    /// Writes an image to the idle slot, and returns the slot.
    fn write_idle(
        &mut self,
        image: &Image,
        tries: Option<&LpmPrefixes>,
    ) -> Result<usize, KernelError> {
        self.check_room(image.lines())?;
        if let Some(tries) = tries {
            let slot = image.flags().slot() as usize & 1;
            self.fill_trie(name::TRIES_V4[slot], &tries.v4)?;
            self.fill_trie(name::TRIES_V6[slot], &tries.v6)?;
        }
        self.write_lines(image.lines())
    }

    fn check_room(&self, lines: &[Line]) -> Result<(), KernelError> {
        let room = self.options().image_lines;
        if lines.len() > room as usize {
            return Err(KernelError::ImageTooLarge {
                needed: lines.len(),
                room,
            });
        }
        Ok(())
    }

    /// Writes lines to the idle slot, and returns the slot.
    fn write_lines(&mut self, lines: &[Line]) -> Result<usize, KernelError> {
        self.check_room(lines)?;
        let idle = self.next_slot() as usize;
        self.images[idle]
            .write(lines)
            .map_err(KernelError::io("writing the image"))?;
        if let Some(head) = lines.first() {
            self.images[idle]
                .set_word(header::FLAGS, head[header::FLAGS] | self.observed)
                .map_err(KernelError::io("writing the image"))?;
        }
        Ok(idle)
    }

    /// Puts one of the two images in a place that packets read.
    fn use_image(
        &mut self,
        place: u32,
        slot: usize,
        doing: &'static str,
    ) -> Result<(), KernelError> {
        // Two fields are borrowed at once, so the map is not opened through `open_mut`.
        let Self { ebpf, images, .. } = self;
        let map = ebpf
            .map_mut(name::IMAGES)
            .ok_or(KernelError::NoMap(name::IMAGES))?;
        let mut outer: ArrayOfMaps<_, MapData> =
            map.try_into().map_err(KernelError::opening(name::IMAGES))?;
        outer
            .set(place, images[slot].data(), 0)
            .map_err(KernelError::map(doing))
    }

    fn fill_trie<const N: usize>(
        &mut self,
        trie: &'static str,
        prefixes: &[([u8; N], u8, u32)],
    ) -> Result<(), KernelError>
    where
        [u8; N]: aya::Pod,
    {
        let mut trie: LpmTrie<_, [u8; N], u32> = self.open_mut(trie)?;
        let stale: Vec<_> = trie
            .keys()
            .collect::<Result<_, _>>()
            .map_err(KernelError::map("reading a trie"))?;
        for key in stale {
            trie.remove(&key)
                .map_err(KernelError::map("emptying a trie"))?;
        }
        for (address, length, class) in prefixes {
            let key = Key::new(u32::from(*length), *address);
            retry::insert(|| trie.insert(&key, class, 0))
                .map_err(KernelError::map("filling a trie"))?;
        }
        Ok(())
    }
}
