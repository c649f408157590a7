//! Databases of autonomous systems.

use super::*;

#[test]
fn an_asn_database_that_has_lost_a_fifth_is_refused() {
    let holdings = |addresses, prefixes| Extents {
        v4: Extent {
            prefixes: 1,
            addresses,
        },
        v6: Extent {
            prefixes,
            addresses: 1 << 100,
        },
    };
    let names = |before, after| -> Vec<String> {
        let refusals = as_database_refusals(before, after);
        refusals.iter().map(ToString::to_string).collect()
    };
    assert!(names(holdings(1000, 100), holdings(801, 81)).is_empty());
    assert!(names(holdings(1000, 60), holdings(2000, 1)).is_empty());
    assert_eq!(
        names(holdings(1000, 100), holdings(800, 80)),
        [
            "the autonomous systems have together lost 20 % of their IPv4 addresses: 1,000 before, 800 now",
            "the autonomous systems have together lost 20 % of their IPv6 prefixes: 100 before, 80 now",
        ]
    );
}
