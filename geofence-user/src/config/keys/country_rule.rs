//! `block` and `allow-only`, which the top level and a tenant have in common.

use crate::config::error::Problem;
use crate::config::key::Key;
use crate::config::key_doc::Kind;
use crate::config::value::Value;
use crate::config::values;
use crate::model::countries::Entry;
use crate::model::policy::CountryRule;

const FORM: &str = "country codes and groups";

/// The key `block`.
pub(super) fn block<T: 'static, F: From<CountryRule> + 'static>(
    field: fn(&mut T) -> &mut F,
) -> Key<T> {
    Key::new("block", Kind::List(FORM), move |target, value, faults| {
        if let Some(entries) = value.many(faults, values::country) {
            *field(target) = CountryRule::Block(Entry::expand(&entries)).into();
        }
    })
}

/// The key `allow-only`.
pub(super) fn allow_only<T: 'static, F: From<CountryRule> + 'static>(
    field: fn(&mut T) -> &mut F,
) -> Key<T> {
    Key::new(
        "allow-only",
        Kind::List(FORM),
        move |target, value, faults| {
            let Some(entries) = value.many(faults, values::country) else {
                return;
            };
            if entries.is_empty()
                && let Value::List(_, span) = value
            {
                let problem = Problem::new(
                    "`allow-only` allows no country, which would block the whole world",
                    "the list is empty",
                    "list the countries to allow, or remove the line; block = [] blocks no country",
                );
                faults.push(problem.at(span.clone()));
            } else {
                *field(target) = CountryRule::AllowOnly(Entry::expand(&entries)).into();
            }
        },
    )
}
