//! Counts and rates as people read them.

use super::text::grouped;

/// So many a second: a decimal below ten, digits in groups above.
#[must_use]
pub fn rate(per_second: f64) -> String {
    if per_second > 0.0 && per_second < 0.05 {
        "< 0.1".to_owned()
    } else if per_second > 0.0 && per_second < 9.95 {
        format!("{per_second:.1}")
    } else {
        grouped(per_second.round() as u64)
    }
}

/// Bits a second in the unit that fits.
#[must_use]
pub fn bits(per_second: f64) -> String {
    scaled(per_second, "bit/s")
}

/// Bytes in the unit that fits.
#[must_use]
pub fn bytes(count: u64) -> String {
    scaled(count as f64, "B")
}

fn scaled(value: f64, unit: &str) -> String {
    const SCALES: [(f64, &str); 4] = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    match SCALES.iter().find(|(least, _)| value >= *least) {
        Some((scale, letter)) => format!("{:.1} {letter}{unit}", value / scale),
        None => format!("{value:.0} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_rates_have_a_decimal_and_large_ones_groups() {
        for (value, text) in [
            (0.0, "0"),
            (0.01, "< 0.1"),
            (0.25, "0.2"),
            (9.94, "9.9"),
            (9.96, "10"),
            (1234.4, "1,234"),
        ] {
            assert_eq!(rate(value), text);
        }
    }

    #[test]
    fn quantities_have_the_unit_that_fits() {
        assert_eq!(bits(999.0), "999 bit/s");
        assert_eq!(bits(8_000_000.0), "8.0 Mbit/s");
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1_234_000_000), "1.2 GB");
    }
}
