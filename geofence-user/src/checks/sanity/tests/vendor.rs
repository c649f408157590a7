//! Tiny countries, and data of another vendor.

use super::*;

#[test]
fn a_tiny_country_may_shrink_and_not_vanish() {
    let listed = policy(CountryRule::Block, &["KP", "RU"]);
    // As many addresses as a vendor gives to North Korea.
    let before = [
        ("175.45.176.0/21", "KP"),
        ("210.52.109.0/24", "KP"),
        ("5.0.0.0/12", "RU"),
    ];
    assert_eq!(
        judged(&listed, &before, &[("175.45.176.0/22", "KP"), before[2]]),
        [""; 0]
    );
    assert_eq!(
        judged(&listed, &before, &before[2..]),
        ["country_vanished KP"]
    );
    let v6 = ("2a00::/29", "KP");
    let both = [before[0], before[2], v6];
    assert_eq!(
        judged(&listed, &both, &[before[2], v6]),
        ["country_shrank IPv4 KP"]
    );
}

#[test]
fn another_vendor_may_differ_more_than_a_release_and_is_accepted_by_a_line() {
    let types = |text: &str| vec![text.to_owned()];
    let (ours, theirs) = (types("DBIP-Country-Lite"), types("GeoLite2-Country"));
    assert_eq!(Vendor::of(&ours, &theirs), Vendor::Other);
    assert_eq!(Vendor::of(&ours, &ours), Vendor::Same);
    assert_eq!(Vendor::of(&[], &theirs), Vendor::Same);
    let listed = policy(CountryRule::Block, &["RU"]);
    let judged = |left, vendor| {
        let comparison = compare(&borrowed(&tenths(10)), &borrowed(&tenths(left)));
        refusals(&listed, &comparison, vendor, UnixSeconds(0))
    };
    assert_eq!(judged(6, Vendor::Same).len(), 1);
    assert_eq!(judged(4, Vendor::Other), []);
    let found = judged(3, Vendor::Other);
    assert_eq!(found.len(), 1);
    let (stay, accepted) = settle(found);
    assert_eq!(stay, []);
    assert!(
        accepted[0].contains("Russia (RU) has lost 70 %"),
        "{accepted:?}"
    );
    let family = Family::V4;
    let (stay, accepted) = settle(vec![Refusal::NoFamily { family }]);
    assert_eq!(
        (stay, accepted),
        (vec![Refusal::NoFamily { family }], Vec::new())
    );
}
