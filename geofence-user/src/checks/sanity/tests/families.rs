//! First data of a policy that lists no country for everyone.

use super::*;
use crate::model::policy::{Overrides, Tenant};

#[test]
fn data_without_a_family_is_refused_whatever_countries_are_listed() {
    let none = policy(CountryRule::Block, &[]);
    for (prefix, family) in [("5.0.0.0/16", Family::V6), ("2a00::/29", Family::V4)] {
        let image = image(&[(prefix, "RU")]);
        let judged = FirstData::judge(&none, image.words()).unwrap();
        assert_eq!(judged.refusals, [Refusal::NoFamily { family }], "{prefix}");
    }
}

#[test]
fn country_that_a_tenant_lists_must_be_in_first_data() {
    let mut listed = policy(CountryRule::Block, &[]);
    listed.tenants = vec![Tenant {
        own: Overrides {
            rule: Some(CountryRule::Block([country("UA")].into())),
            ..Overrides::default()
        },
        ..Tenant::default()
    }];
    let image = image(&[("5.0.0.0/16", "RU"), ("2a00::/29", "RU")]);
    let judged = FirstData::judge(&listed, image.words()).unwrap();
    let country = country("UA");
    assert_eq!(judged.refusals, [Refusal::Vanished { country }]);
}
