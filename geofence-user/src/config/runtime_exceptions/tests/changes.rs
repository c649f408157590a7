//! Changes one by one, compared with reading everything again.

use proptest::prelude::*;

use super::{config, spec};
use crate::config::exception_spec::{ExceptionSpec, HEAD};

/// One of a few exceptions: some are idle, and the name of one begins with the name of another.
fn any_spec() -> impl Strategy<Value = ExceptionSpec> {
    let id = prop::sample::select(vec!["x-1", "x-11", "y", "standing"]);
    let to = prop::sample::select(vec!["any", "customer-17", "customer-18", "203.0.113.9"]);
    let until = prop::sample::select(vec![None, Some("2099-03-31"), Some("2020-01-01")]);
    let reason = prop::sample::select(vec!["r", "[[exception]]", "a \"b\" 'c' \\"]);
    (id, to, until, reason, any::<bool>()).prop_map(|(id, to, until, reason, has_service)| {
        ExceptionSpec {
            id: id.into(),
            from: vec!["5.136.0.77".into()],
            to: vec![to.into()],
            services: has_service.then(|| "tcp/443".into()).into_iter().collect(),
            action: None,
            owner: "noc".into(),
            reason: reason.into(),
            until: until.map(Into::into),
        }
    })
}

#[derive(Clone, Debug)]
enum Step {
    Add(ExceptionSpec),
    Extend(usize, &'static str),
    Remove(usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    let until = prop::sample::select(vec!["2098-01-01", "2099-01-01T12:00:00Z"]);
    prop_oneof![
        any_spec().prop_map(Step::Add),
        (any::<usize>(), until).prop_map(|(at, until)| Step::Extend(at, until)),
        any::<usize>().prop_map(Step::Remove),
    ]
}

proptest! {
    /// After any changes, policy and text are those that reading the file again gives.
    #[test]
    fn changes_give_what_reading_the_file_again_gives(
        first in prop::collection::vec(any_spec(), 0..4),
        comment: bool,
        steps in prop::collection::vec(any_step(), 1..8),
    ) {
        let mut specs: Vec<ExceptionSpec> = Vec::new();
        for spec in first {
            if specs.iter().all(|one| one.id != spec.id) {
                specs.push(spec);
            }
        }
        let mut text = ExceptionSpec::to_file(&specs).unwrap();
        if comment {
            text = text.replace("owner = \"noc\"", "owner = \"noc\" # day and night");
        }
        let mut config = super::config().with_runtime_exceptions(&text, "exceptions.toml").unwrap();
        for step in steps {
            let before = config.policy.clone();
            let count = specs.len();
            let changed = match step {
                Step::Add(spec) if specs.iter().all(|one| one.id != spec.id) => {
                    specs.push(spec.clone());
                    config.add_runtime_exception(&spec, text, "exceptions.toml")
                }
                Step::Extend(at, until) if count > 0 => {
                    specs[at % count].until = Some(until.into());
                    config.extend_runtime_exception(at % count, until, &text)
                }
                Step::Remove(at) if count > 0 => {
                    specs.remove(at % count);
                    config.remove_runtime_exception(at % count, &text)
                }
                Step::Add(_) | Step::Extend(..) | Step::Remove(_) => continue,
            };
            (config, text) = changed.unwrap();
            prop_assert!(config.has_runtime_exceptions_of(&text));
            let words = ExceptionSpec::to_file(&specs).unwrap();
            // A comment stays until an edited entry forces the whole text to be written again.
            prop_assert!(text == words || comment && text.contains(" # "));
            let mut read = super::config().with_runtime_exceptions(&text, "exceptions.toml").unwrap();
            read.policy.keep_numbers(&before);
            config.policy.keep_numbers(&before);
            prop_assert_eq!(&config, &read);
            let granted: Vec<_> = config.runtime.list.iter().map(|one| one.spec.clone()).collect();
            prop_assert_eq!(&granted, &specs);
        }
    }
}

#[test]
fn entry_edited_by_hand_is_changed_too() {
    let two = ["x-1", "x-2"].map(|id| ExceptionSpec {
        id: id.into(),
        ..spec()
    });
    let text = ExceptionSpec::to_file(&two)
        .unwrap()
        .replace("id = ", "id   = ");
    let config = config()
        .with_runtime_exceptions(&text, "exceptions.toml")
        .unwrap();
    let (config, text) = config.remove_runtime_exception(0, &text).unwrap();
    assert_eq!(text, ExceptionSpec::to_file(&two[1..]).unwrap());
    let (_, text) = config.remove_runtime_exception(0, &text).unwrap();
    assert_eq!(text, HEAD);
}
