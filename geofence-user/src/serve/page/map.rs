//! The map: the shape of each country, and how strongly it is coloured.

use std::sync::LazyLock;

use geofence_common::country::Country;

/// The shapes: the view box, then a line for each country with its code and path.
const WORLD: &str = include_str!("../../../data/world/world.txt");

/// Each level of colour stands for so many packets and more.
pub(super) const LEVELS: [(u64, &str); 5] = [
    (1, "1"),
    (100, "100"),
    (10_000, "10 k"),
    (1_000_000, "1 M"),
    (100_000_000, "100 M"),
];

/// The shapes of the world.
pub(super) struct World {
    pub(super) view_box: &'static str,
    pub(super) shapes: Vec<(Country, &'static str)>,
}

/// The shapes of the world, read once.
pub(super) static MAP: LazyLock<World> = LazyLock::new(|| {
    let (view_box, shapes) = WORLD.split_once('\n').unwrap_or_default();
    let shapes = shapes.lines().filter_map(|line| {
        let (code, path) = line.split_once(' ')?;
        let country = Country::from_code(code.as_bytes().try_into().ok()?)?;
        Some((country, path))
    });
    World {
        view_box,
        shapes: shapes.collect(),
    }
});

/// How strongly so many packets are coloured: 0 for none.
pub(super) fn level(packets: u64) -> usize {
    let reached = LEVELS.iter().take_while(|(least, _)| packets >= *least);
    reached.count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_is_of_a_country_and_nearly_every_country_has_one() {
        let lines = WORLD.lines().count() - 1;
        assert_eq!(MAP.shapes.len(), lines);
        assert!(WORLD.len() <= 150 << 10);
        assert!(MAP.view_box.starts_with("0 0 2000 "), "{}", MAP.view_box);
        for (country, path) in &MAP.shapes {
            assert!(path.starts_with('M') && path.ends_with('z'), "{country:?}");
            // An attribute of HTML holds it as it is.
            assert!(
                path.chars()
                    .all(|one| "Mlaz -".contains(one) || one.is_ascii_digit())
            );
        }
        let missing: Vec<_> = Country::all()
            .filter(|country| MAP.shapes.iter().all(|(shown, _)| shown != country))
            .map(Country::name)
            .collect();
        // Antarctica is beyond the edge; the others are parts of countries in these shapes.
        assert!(missing.contains(&"AQ") && missing.len() < 20, "{missing:?}");
    }

    #[test]
    fn a_level_begins_with_its_number_of_packets() {
        for (packets, expected) in [(0, 0), (1, 1), (99, 1), (100, 2), (u64::MAX, 5)] {
            assert_eq!(level(packets), expected, "{packets}");
        }
    }
}
