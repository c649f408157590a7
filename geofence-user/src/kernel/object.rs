//! The compiled program as it is embedded, and the one number in it that depends on the policy.

use geofence_common::layout::IMAGE_LINES_PLACEHOLDER;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/geofence"));

/// The program with room for images of this many lines.
///
/// The declared size of the inner map stands in the object's type information as the length of an array type.
pub(super) fn with_image_lines(lines: u32) -> Option<Vec<u8>> {
    let placeholder = IMAGE_LINES_PLACEHOLDER.to_ne_bytes();
    let mut found = OBJECT
        .windows(placeholder.len())
        .enumerate()
        .filter(|(_, bytes)| *bytes == placeholder);
    let (at, _) = found.next()?;
    if found.next().is_some() {
        return None;
    }
    let mut object = OBJECT.to_vec();
    object
        .get_mut(at..at + placeholder.len())?
        .copy_from_slice(&lines.to_ne_bytes());
    Some(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_placeholder_stands_in_the_object_exactly_once() {
        let object = with_image_lines(4711).expect("one placeholder");
        assert_eq!(object.len(), OBJECT.len());
        assert!(object.iter().zip(OBJECT).filter(|(a, b)| a != b).count() <= 4);
    }
}
