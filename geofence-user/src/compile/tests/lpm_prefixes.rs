//! The prefixes for the kernel's LPM tries.

use super::helpers::*;
use crate::compile::{ForeignImage, compile};
use crate::oracle::default_policy;

#[test]
fn image_of_another_policy_or_database_is_refused() {
    let (policy, data) = example();
    let image = compile(&default_policy(), &data, &TARGET).unwrap();
    assert_eq!(image.prefixes_v4(&policy, &data), Err(ForeignImage));
    // The image has no class for France. Longer prefixes cover all of it, or all except the start, the middle or the
    // end.
    let hosts = [
        "2a02:100::/128",
        "2a02:100::1/128",
        "2a02:100::2/128",
        "2a02:100::3/128",
    ];
    for missing in 0..=4 {
        let mut prefixes = vec![("2a02:100::/126", "FR")];
        prefixes.extend(hosts.map(|host| (host, "DE")));
        if missing < 4 {
            prefixes.remove(missing + 1);
        }
        let other = image.prefixes_v6(&default_policy(), &database(&prefixes));
        assert_eq!(
            other.err(),
            (missing < 4).then_some(ForeignImage),
            "{missing}"
        );
    }
    let alone = database(&[("81.2.0.0/16", "FR")]);
    assert_eq!(
        image.prefixes_v4(&default_policy(), &alone),
        Err(ForeignImage)
    );
}

#[test]
fn prefix_covered_by_longer_ones_is_left_out() {
    // Multicast and reserved space fill the first, its hosts the second: no address is in France or Peru.
    let database = database(&[
        ("224.0.0.0/3", "FR"),
        ("2a02:100::/127", "PE"),
        ("2a02:100::/128", "DE"),
        ("2a02:100::1/128", "KP"),
    ]);
    let policy = default_policy();
    let image = compile(&policy, &database, &TARGET).unwrap();
    let prefixes = image.prefixes_v4(&policy, &database).unwrap();
    assert!(!prefixes.iter().any(|prefix| prefix.1 == 3), "{prefixes:?}");
    let prefixes = image.prefixes_v6(&policy, &database).unwrap();
    let lengths =
        [126, 127, 128].map(|length| prefixes.iter().filter(|prefix| prefix.1 == length).count());
    // ::/127 is special-use space.
    assert_eq!(lengths, [0, 1, 2]);
}
