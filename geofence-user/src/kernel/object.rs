//! The embedded object file of the programs, and the one number in it that depends on the policy: the image size.

use geofence_common::maps::IMAGE_WORDS_PLACEHOLDER;
use object::{Object as _, ObjectSection as _};

pub(super) static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/geofence"));

/// Copies an object with room for images of this many words.
///
/// The object's type information (`.BTF`) declares the size of the inner map's element as the length of an array type.
pub(super) fn with_image_words(object: &[u8], words: u32) -> Option<Vec<u8>> {
    let file = object::File::parse(object).ok()?;
    let (start, size) = file.section_by_name(".BTF")?.file_range()?;
    let (start, size) = (usize::try_from(start).ok()?, usize::try_from(size).ok()?);
    let mut copy = object.to_vec();
    let types = copy.get_mut(start..start.checked_add(size)?)?;
    let placeholder = IMAGE_WORDS_PLACEHOLDER.to_ne_bytes();
    let found: Vec<usize> = (0..types.len())
        .filter(|at| types[*at..].starts_with(&placeholder))
        .collect();
    let [at] = found[..] else { return None };
    types[at..at + placeholder.len()].copy_from_slice(&words.to_ne_bytes());
    Some(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_contains_the_placeholder_exactly_once() {
        let object = with_image_words(OBJECT, 4711).expect("one placeholder");
        assert_eq!(object.len(), OBJECT.len());
        assert!(object.iter().zip(OBJECT).filter(|(a, b)| a != b).count() <= 4);
    }
}
