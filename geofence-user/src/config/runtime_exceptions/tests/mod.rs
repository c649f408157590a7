//! What runtime exceptions come to, and what is reported of broken ones.

mod changes;

use crate::config::configuration::Config;
use crate::config::error::ConfigErrors;
use crate::config::exception_spec::ExceptionSpec;
use crate::model::units::UnixSeconds;

pub(super) fn config() -> Config {
    let text = r#"
        [[tenant]]
        name = "customer-17"
        prefixes = ["203.0.113.0/24"]

        [[exception]]
        id = "standing"
        from = ["KZ"]
        to = ["any"]
        owner = "noc"
        reason = "probes"
    "#;
    Config::parse(text, "geofence.toml").unwrap_or_else(|errors| panic!("{errors}"))
}

pub(super) fn spec() -> ExceptionSpec {
    ExceptionSpec {
        id: "x-1".into(),
        from: vec!["5.136.0.77".into(), "EU".into()],
        to: vec!["customer-17".into()],
        services: vec!["tcp/443".into(), "udp".into()],
        action: None,
        owner: "support, \"A. Berg\"".into(),
        reason: "back\\slash and 'quotes'".into(),
        until: Some("2099-03-31".into()),
    }
}

fn rendered(result: Result<(), ConfigErrors>) -> String {
    result.unwrap_err().render(false)
}

#[test]
fn written_exceptions_are_read_back_unchanged() {
    let other = ExceptionSpec {
        id: "x-2".into(),
        services: Vec::new(),
        until: None,
        ..spec()
    };
    for specs in [vec![], vec![spec(), other]] {
        let text = ExceptionSpec::to_file(&specs).unwrap();
        let read = config().with_runtime_exceptions(&text, "exceptions.toml");
        let read = read.unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        let words: Vec<_> = read
            .runtime
            .list
            .iter()
            .map(|one| one.spec.clone())
            .collect();
        assert_eq!(words, specs, "{text}");
        assert_eq!(read.policy.exceptions.len(), 1 + specs.len());
        // Added one by one, they give the same result, and the same text.
        let one_by_one = specs.iter().try_fold(
            (
                config()
                    .with_runtime_exceptions("", "exceptions.toml")
                    .unwrap(),
                String::new(),
            ),
            |(config, text), spec| config.add_runtime_exception(spec, text, "exceptions.toml"),
        );
        let (one_by_one, kept) = one_by_one.unwrap();
        assert_eq!(one_by_one.policy, read.policy, "{text}");
        assert_eq!(one_by_one.runtime.list, read.runtime.list);
        if !specs.is_empty() {
            assert_eq!(kept, text);
            assert_eq!(one_by_one, read);
        }
        assert!(
            one_by_one.has_runtime_exceptions_of(&kept)
                && !one_by_one.has_runtime_exceptions_of("other")
        );
        // Read again, they are there once; without them, the configuration is unchanged.
        let again = read
            .with_runtime_exceptions(&text, "exceptions.toml")
            .unwrap();
        assert_eq!(again.policy.exceptions.len(), 1 + specs.len());
        assert_eq!(again.without_runtime_exceptions(), config());
    }
}

#[test]
fn check_names_the_faulty_option_and_the_fault() {
    let now = UnixSeconds(1_800_000_000);
    let config = config();
    spec().check(&config, now).unwrap();
    let of = |change: fn(&mut ExceptionSpec)| {
        let mut spec = spec();
        change(&mut spec);
        rendered(spec.check(&config, now))
    };
    for (said, words) in [
        (
            of(|one| one.id = "a b".into()),
            ["ID:1:1", "is not a valid name"],
        ),
        (
            of(|one| one.from = vec!["RU".into(), "5.136.0.300".into()]),
            ["--from:1:4", "not a prefix"],
        ),
        (of(|one| one.from = vec![]), ["--from", "name at least one"]),
        (
            of(|one| one.to = vec!["customer-71".into()]),
            ["--to:1:1", "did you mean \"customer-17\"?"],
        ),
        (
            of(|one| one.services = vec!["tcp/0".into()]),
            ["--proto and --port:1:1", "tcp/0"],
        ),
        (
            of(|one| one.owner = " ".into()),
            ["--owner:1:1", "has line breaks"],
        ),
        (
            of(|one| one.reason = "a\nb".into()),
            ["--reason:1:1", "on one line"],
        ),
        (
            of(|one| one.until = Some("soon".into())),
            ["--until:1:1", "neither a day nor a time"],
        ),
        (
            of(|one| one.until = Some("2020-01-01".into())),
            ["--until:1:1", "it is 2027-01-15T08:00:00Z"],
        ),
    ] {
        for word in words {
            assert!(said.contains(word), "{word}: {said}");
        }
    }
}

#[test]
fn exception_for_a_missing_tenant_becomes_idle() {
    let mut two = spec();
    two.id = "x-2".into();
    two.to.push("203.0.113.9".into());
    let mut shadowed = spec();
    shadowed.id = "standing".into();
    let text = ExceptionSpec::to_file(&[spec(), two, shadowed]).unwrap();
    let text = text.replace("customer-17", "customer-18");
    let read = config()
        .with_runtime_exceptions(&text, "exceptions.toml")
        .unwrap();
    let ids: Vec<_> = read
        .policy
        .exceptions
        .iter()
        .map(|one| one.id.as_str())
        .collect();
    assert_eq!(ids, ["standing", "x-2"]);
    let [gone, part, shadowed] = &read.runtime.list[..] else {
        panic!("{:?}", read.runtime.list);
    };
    assert!(gone.is_idle() && !part.is_idle() && shadowed.is_idle());
    assert_eq!(part.missing_tenants, ["customer-18"]);
    let warnings = read.warnings().join("\n");
    assert!(
        warnings.contains("the runtime exception x-1 is not in force"),
        "{warnings}"
    );
    assert!(
        warnings.contains("the runtime exception x-2 is in force only in part"),
        "{warnings}"
    );
    assert_eq!(read.without_runtime_exceptions(), config());
}

#[test]
fn broken_file_is_reported_with_its_line() {
    for (text, said) in [
        ("block = [\"RU\"]\n", "exceptions.toml:1:1"),
        ("\n[[exception]]\nid = \"x\"\n", "exceptions.toml:2:1"),
        ("[[exception\n", "exceptions.toml:1"),
    ] {
        let errors = config()
            .with_runtime_exceptions(text, "exceptions.toml")
            .unwrap_err();
        assert!(
            errors.render(false).contains(said),
            "{}",
            errors.render(false)
        );
    }
}
