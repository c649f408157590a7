//! The frames of one family of addresses, and a frame by its name.

use std::net::IpAddr;

use super::entry::Named;
use super::{control, extensions, icmp, ipv4, ipv6, link, tags, transport};

/// Every frame of the family of `source` and `destination`, which must be the same, and every frame that is not IP.
#[must_use]
pub fn corpus(source: IpAddr, destination: IpAddr) -> Vec<Named> {
    let mut frames = transport::frames(source, destination);
    frames.extend(icmp::frames(source, destination));
    frames.extend(tags::frames(source, destination));
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            frames.extend(ipv4::frames(source, destination));
            frames.extend(control::ipv4(source, destination));
            frames.extend(link::frames(source, destination));
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            frames.extend(ipv6::frames(source, destination));
            frames.extend(extensions::frames(source, destination));
            frames.extend(control::ipv6(source, destination));
            frames.extend(link::frames([192, 0, 2, 2].into(), [192, 0, 2, 1].into()));
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
            panic!("no corpus goes from {source} to {destination}: they are of two families")
        }
    }
    frames
}

/// The frame of this name.
///
/// # Panics
/// When the family has no frame of this name, which is a mistake in the test's text.
#[must_use]
pub fn named(name: &str, source: IpAddr, destination: IpAddr) -> Vec<u8> {
    let found = corpus(source, destination)
        .into_iter()
        .find(|(each, _)| *each == name);
    match found {
        Some((_, frame)) => frame,
        None => panic!("no frame of the corpus from {source} is called {name:?}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn both() -> [Vec<Named>; 2] {
        let v4 = corpus([203, 0, 113, 7].into(), [192, 0, 2, 1].into());
        let v6 = corpus(
            "2001:db8:7::7".parse().unwrap(),
            "2001:db8::1".parse().unwrap(),
        );
        [v4, v6]
    }

    #[test]
    fn corpus_names_are_unique_and_spelt_alike() {
        for family in both() {
            let mut seen = HashSet::new();
            for (name, _) in family {
                assert!(seen.insert(name), "{name} twice");
                let letters = name
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
                assert!(letters, "{name} is not lower case and underscores");
            }
        }
    }

    #[test]
    fn every_frame_fits_an_ordinary_link_and_the_kernels_test_run() {
        for (name, frame) in both().concat() {
            assert!(
                (14..=1514).contains(&frame.len()),
                "{name} has {} bytes",
                frame.len()
            );
        }
    }

    #[test]
    fn no_two_frames_of_a_family_are_the_same() {
        for family in both() {
            let mut seen = std::collections::HashMap::new();
            for (name, frame) in family {
                let earlier = seen.insert(frame, name);
                assert!(earlier.is_none(), "{name} is {} again", earlier.unwrap());
            }
        }
    }
}
