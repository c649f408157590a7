//! An image in memory: its lines for the kernel, its words for look-ups, its bytes for the state directory.
//!
//! An `Image` is whole: the compiler made it, or it was read back with every check that needs no other data. As bytes,
//! words are little-endian on every machine.

use geofence_common::image::class::Class;
use geofence_common::image::exceptions::{EXCEPTION_WORDS, NEVER};
use geofence_common::image::{
    CLASS_WORDS, FREE_LINE, Flags, LAYOUT, Line, MAGIC, class_record, flag, header,
};

use super::target::Boot;
use crate::model::units::UnixSeconds;

/// A compiled policy image.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    lines: Vec<Line>,
}

impl std::fmt::Debug for Image {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Image")
            .field("header", &self.lines[0])
            .field("lines", &self.lines.len())
            .finish()
    }
}

/// Why bytes are not an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    #[error("it is not a policy image")]
    NotAnImage,
    #[error("it has layout {found}, and this program reads layout {LAYOUT}; compile it again")]
    Layout { found: u32 },
    #[error(
        "it is cut short or padded: {found} bytes where its header says {expected}; compile it again"
    )]
    Length { found: usize, expected: usize },
    #[error("it is damaged: its checksum does not match; compile it again")]
    Checksum,
}

const LINE_BYTES: usize = size_of::<Line>();

impl Image {
    /// An image of lines that lack only the checksum.
    pub(super) fn sealed(lines: Vec<Line>) -> Self {
        let mut image = Self { lines };
        image.lines[0][header::CHECKSUM] = checksum(&image.lines);
        image
    }

    /// The lines, as the kernel's array holds them.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The words, for look-ups by `Words`.
    #[must_use]
    pub fn words(&self) -> &[u32] {
        self.lines.as_flattened()
    }

    #[must_use]
    pub fn generation(&self) -> u32 {
        self.lines[0][header::GENERATION]
    }

    #[must_use]
    pub fn flags(&self) -> Flags {
        Flags(self.lines[0][header::FLAGS])
    }

    /// When the image was compiled.
    #[must_use]
    pub fn compiled(&self) -> UnixSeconds {
        UnixSeconds(read_u64(self.words(), header::COMPILED))
    }

    /// When the GeoIP data was built.
    #[must_use]
    pub fn data_built(&self) -> UnixSeconds {
        UnixSeconds(read_u64(self.words(), header::DATA_BUILT))
    }

    /// How many prefixes the data had, IPv4 and IPv6.
    #[must_use]
    pub fn prefixes(&self) -> [u32; 2] {
        [header::PREFIXES_V4, header::PREFIXES_V6].map(|at| self.lines[0][at])
    }

    /// The number of trie nodes, without the roots.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.words()[header::NODES] as usize
    }

    /// The size in bytes, in memory and as stored.
    #[must_use]
    pub fn size(&self) -> usize {
        self.lines.len() * LINE_BYTES
    }

    /// The classes, in order.
    pub fn classes(&self) -> impl Iterator<Item = Class> {
        self.class_table()
            .1
            .iter()
            .map(|record| Class::from_word(record[class_record::CLASS as usize]))
    }

    /// The class table's position and records.
    pub(super) fn class_table(&self) -> (u32, &[[u32; CLASS_WORDS]]) {
        let [at, count] = [header::CLASS_TABLE, header::CLASSES].map(|word| self.lines[0][word]);
        let words = self
            .words()
            .get(at as usize..)
            .and_then(|words| words.as_chunks().0.get(..count as usize));
        (at, words.unwrap_or(&[]))
    }

    /// The same image with another generation and slot.
    #[must_use]
    pub fn restamped(mut self, generation: u32, slot: u32) -> Self {
        self.lines[0][header::GENERATION] = generation;
        let flags = &mut self.lines[0][header::FLAGS];
        *flags &= !flag::SECOND_SLOT;
        if slot == 1 {
            *flags |= flag::SECOND_SLOT;
        }
        Self::sealed(self.lines)
    }

    /// The same image on trial until a time, in nanoseconds since boot.
    #[must_use]
    pub fn on_trial(mut self, ends: u64) -> Self {
        let head = &mut self.lines[0];
        head[header::FLAGS] |= flag::TRIAL;
        write_u64(head, header::TRIAL_ENDS, ends);
        Self::sealed(self.lines)
    }

    /// The wall-clock time at which the deadlines of its exceptions were converted, and the same time since boot.
    #[must_use]
    pub fn converted(&self) -> (UnixSeconds, Boot) {
        let words = self.words();
        let [moment, boot] = [header::MOMENT, header::MOMENT_BOOT].map(|at| read_u64(words, at));
        let id = words[header::BOOT_ID];
        (UnixSeconds(moment), Boot { id, now: boot })
    }

    /// The same image with the deadlines of its exceptions converted to the clock of this boot.
    ///
    /// Within one boot they stay as they are. `converted_anew` is for a wall clock that was set since.
    #[must_use]
    pub fn in_boot(self, boot: Boot, now: UnixSeconds) -> Self {
        if boot.id == self.words()[header::BOOT_ID] {
            return self;
        }
        self.converted_anew(boot, now)
    }

    /// The same image with the deadlines of its exceptions converted by the wall clock as it is now.
    #[must_use]
    pub fn converted_anew(mut self, boot: Boot, now: UnixSeconds) -> Self {
        const SECOND: i128 = 1_000_000_000;
        let (moment, then) = self.converted();
        let gone = (i128::from(now.0) - i128::from(moment.0)) * SECOND;
        let words = self.lines.as_flattened_mut();
        let (at, count) = (
            words[header::EXCEPTIONS] as usize,
            words[header::EXCEPTION_COUNT],
        );
        let exceptions = words.get_mut(at..).unwrap_or_default();
        let (exceptions, _) = exceptions.as_chunks_mut::<EXCEPTION_WORDS>();
        for [_, _, low, high] in exceptions.iter_mut().take(count as usize) {
            let deadline = u64::from(*low) | u64::from(*high) << 32;
            if deadline != NEVER {
                let left = i128::from(deadline) - i128::from(then.now) - gone;
                let deadline = (i128::from(boot.now) + left).clamp(0, i128::from(NEVER) - 1) as u64;
                (*low, *high) = (deadline as u32, (deadline >> 32) as u32);
            }
        }
        write_u64(words, header::MOMENT, now.0);
        write_u64(words, header::MOMENT_BOOT, boot.now);
        words[header::BOOT_ID] = boot.id;
        Self::sealed(self.lines)
    }

    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.words()
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect()
    }

    /// Reads an image back.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ImageError> {
        let (lines, rest) = bytes.as_chunks::<LINE_BYTES>();
        let lines: Vec<Line> = lines
            .iter()
            .map(|line| {
                let (words, _) = line.as_chunks::<4>();
                std::array::from_fn(|at| u32::from_le_bytes(words[at]))
            })
            .collect();
        let head = lines.first().ok_or(ImageError::NotAnImage)?;
        if head[header::MAGIC] != MAGIC {
            return Err(ImageError::NotAnImage);
        }
        if head[header::LAYOUT] != LAYOUT {
            return Err(ImageError::Layout {
                found: head[header::LAYOUT],
            });
        }
        let expected = head[header::LINES] as usize;
        if lines.len() != expected || !rest.is_empty() || expected < FREE_LINE {
            return Err(ImageError::Length {
                found: bytes.len(),
                expected: expected.max(FREE_LINE) * LINE_BYTES,
            });
        }
        if head[header::CHECKSUM] != checksum(&lines) {
            return Err(ImageError::Checksum);
        }
        Ok(Self { lines })
    }
}

fn read_u64(words: &[u32], at: usize) -> u64 {
    u64::from(words[at]) | u64::from(words[at + 1]) << 32
}

/// Writes a value into two words, the low one first.
pub(super) fn write_u64(words: &mut [u32], at: usize, value: u64) {
    words[at] = value as u32;
    words[at + 1] = (value >> 32) as u32;
}

/// CRC-32 of the image as bytes, with its own word as zero.
fn checksum(lines: &[Line]) -> u32 {
    const AT_ONCE: usize = 64;
    let mut hasher = crc32fast::Hasher::new();
    let Some((head, others)) = lines.split_first() else {
        return hasher.finalize();
    };
    let mut head = *head;
    head[header::CHECKSUM] = 0;
    let mut bytes = [[0; LINE_BYTES]; AT_ONCE];
    for lines in std::iter::once(&[head][..]).chain(others.chunks(AT_ONCE)) {
        for (line, bytes) in lines.iter().zip(&mut bytes) {
            for (word, place) in line.iter().zip(bytes.as_chunks_mut::<4>().0) {
                *place = word.to_le_bytes();
            }
        }
        hasher.update(bytes[..lines.len()].as_flattened());
    }
    hasher.finalize()
}
