//! What a resource is in the words of the fleet. Pure: the same resource always gives the same.

use anyhow::{Context as _, Result, bail, ensure};
use geofence_fleet::content::fits;
use geofence_fleet::engine::VALUE_BYTES_MAX;
use geofence_fleet::exceptions::{KUBERNETES, checked, exception_id};
use geofence_fleet::release::{Content, Stop, Trial};
use geofence_user::cli::exception::{services, span};
use geofence_user::config::{Config, ExceptionSpec};
use geofence_user::model::duration;
use geofence_user::model::units::UnixSeconds;
use kube::ResourceExt as _;

use crate::resources::{GeofenceException, GeofencePolicySpec, Remote, Stopped};

/// What nodes call an exception.
pub(super) fn id(object: &GeofenceException) -> Result<String> {
    Ok(exception_id(&format!("{KUBERNETES}{}", object.name_any()))?)
}

/// The exception that a resource asks for. It may have expired.
pub(super) fn exception(object: &GeofenceException) -> Result<ExceptionSpec> {
    let spec = &object.spec;
    let protocols: Vec<_> = spec
        .protocols
        .iter()
        .map(|one| one.word().to_owned())
        .collect();
    ensure!(
        spec.ports.is_empty() || !protocols.is_empty(),
        "`ports` need `protocols`: name the protocol that they are of"
    );
    let until = match (&spec.expires, &spec.until) {
        (Some(_), Some(_)) => bail!("give either `expires` or `until`"),
        (Some(lasts), None) => {
            let lasts = span(lasts).map_err(|error| anyhow::anyhow!("`expires`: {error}"))?;
            Some(made(object).plus(lasts).to_string())
        }
        (None, until) => until.clone(),
    };
    let spec = ExceptionSpec {
        id: id(object)?,
        from: spec.from.clone(),
        to: spec.to.clone(),
        services: services(&protocols, &spec.ports),
        action: None,
        owner: spec.owner.clone(),
        reason: spec.reason.clone(),
        until,
    };
    checked(spec, UnixSeconds(0))
}

/// When a resource was made.
fn made(object: &GeofenceException) -> UnixSeconds {
    let made = object.creation_timestamp();
    let seconds = made.and_then(|made| u64::try_from(made.0.as_second()).ok());
    seconds.map_or_else(UnixSeconds::now, UnixSeconds)
}

/// The trial that a policy asks for.
pub(super) fn trial(spec: &GeofencePolicySpec) -> Result<Trial> {
    let time = |key: &str, text: &str| {
        duration::parse(text).with_context(|| format!("`{key}`: write a time such as 60s or 5m"))
    };
    let confirm_within = time("confirmWithin", &spec.confirm_within)?;
    let observe = time("observe", &spec.observe)?;
    let trial = Trial::new(confirm_within, observe, spec.band);
    trial.context("`confirmWithin`, `observe` and `band`")
}

/// The policy of these bytes, which a node could read.
pub(super) fn policy(text: String) -> Result<Vec<u8>> {
    Config::parse(&text, "geofence.toml")?;
    small(text)
}

/// A text that the engine can keep.
pub(super) fn small(text: String) -> Result<Vec<u8>> {
    let bytes = text.into_bytes();
    ensure!(
        fits(&bytes),
        "the text has {} bytes, and at most {VALUE_BYTES_MAX} are allowed",
        bytes.len()
    );
    Ok(bytes)
}

/// A content on a web server.
pub(super) fn remote(remote: &Remote) -> Result<Content> {
    Ok(Content {
        sha256: remote.sha256.clone(),
        size: u64::try_from(remote.size)
            .context("`size` is negative; write how many bytes the list has")?,
        urls: remote.urls.clone(),
    })
}

/// Why a release went no further, with the gate apart.
pub(super) fn stopped(stop: &Stop) -> Stopped {
    let gate = stop.why.strip_prefix("gate ");
    let gate = gate.and_then(|rest| rest.split_once(": "));
    Stopped {
        node: stop.node.as_ref().map(ToString::to_string),
        gate: gate.map(|(gate, _)| gate.to_owned()),
        message: gate.map_or(&*stop.why, |(_, message)| message).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::resources::{GeofenceExceptionSpec, Protocol};

    const MADE: i64 = 1_790_000_000;

    fn object(name: &str, spec: GeofenceExceptionSpec) -> GeofenceException {
        let mut object = GeofenceException::new(name, spec);
        object.metadata.creation_timestamp = Timestamp::from_second(MADE).ok().map(Time);
        object
    }

    fn spec() -> GeofenceExceptionSpec {
        GeofenceExceptionSpec {
            from: vec!["5.136.0.77".to_owned()],
            to: vec!["any".to_owned()],
            protocols: vec![Protocol::Tcp],
            ports: vec!["443".to_owned()],
            owner: "A. Berg".to_owned(),
            reason: "until their new uplink works".to_owned(),
            expires: Some("7d".to_owned()),
            until: None,
        }
    }

    #[test]
    fn exception_has_the_name_of_nodes_and_ends_from_when_it_was_made() {
        let read = exception(&object("ticket-1", spec())).unwrap();
        assert_eq!(read.id, "fleet-k8s-ticket-1");
        assert_eq!(read.services, ["tcp/443"]);
        let end = read.expiry().unwrap().unwrap();
        assert_eq!(end, UnixSeconds(MADE as u64 + 7 * 86_400));
        let until = Some("2026-01-31".to_owned());
        let past = GeofenceExceptionSpec {
            expires: None,
            until,
            ..spec()
        };
        let read = exception(&object("ticket-1", past)).unwrap();
        assert_eq!(read.until.as_deref(), Some("2026-02-01T00:00:00Z"));
    }

    #[test]
    fn what_the_command_would_refuse_is_refused_and_named() {
        type Change = fn(&mut GeofenceExceptionSpec);
        let changes: [(Change, &str); 9] = [
            (|one| one.from = vec!["300.1.1.1".to_owned()], "300.1.1.1"),
            (|one| one.from.clear(), "--from is missing"),
            (|one| one.to = vec!["10.0.0.0/99".to_owned()], "10.0.0.0/99"),
            (|one| one.protocols.clear(), "`ports` need `protocols`"),
            (|one| one.ports = vec!["70000".to_owned()], "70000"),
            (|one| one.owner = " ".to_owned(), "empty"),
            (
                |one| one.expires = Some("soon".to_owned()),
                "write it as 30d",
            ),
            (
                |one| (one.expires, one.until) = (None, Some("2026-13-01".to_owned())),
                "2026-13-01",
            ),
            (
                |one| one.until = Some("2027-01-01".to_owned()),
                "either `expires` or `until`",
            ),
        ];
        for (change, expected) in changes {
            let mut spec = spec();
            change(&mut spec);
            let error = exception(&object("a", spec)).unwrap_err();
            assert!(
                format!("{error:#}").contains(expected),
                "{expected}: {error:#}"
            );
        }
        let long = "a".repeat(55);
        assert!(exception(&object(&long, spec())).is_err());
        assert!(exception(&object(&long[1..], spec())).is_ok());
    }

    #[test]
    fn tenants_are_for_the_nodes_to_know() {
        let mut spec = spec();
        spec.to = vec!["customer-17".to_owned(), "10.0.0.0/8".to_owned()];
        let read = exception(&object("a", spec)).unwrap();
        assert_eq!(read.to, ["customer-17", "10.0.0.0/8"]);
    }

    #[test]
    fn stop_says_which_gate_and_why() {
        let stop = |why: &str| {
            stopped(&Stop {
                node: "edge1".parse().ok(),
                why: why.to_owned(),
            })
        };
        let found = stop("gate daemon: refused: it locks out: 192.0.2.1");
        assert_eq!(found.node.as_deref(), Some("edge1"));
        assert_eq!(found.gate.as_deref(), Some("daemon"));
        assert_eq!(found.message, "refused: it locks out: 192.0.2.1");
        let found = stop("no result within 180 s");
        assert_eq!(
            (found.gate, &*found.message),
            (None, "no result within 180 s")
        );
    }

    #[test]
    fn policy_must_be_one_that_a_node_can_read_and_the_engine_can_keep() {
        assert!(policy("block = [\"RU\"]\n".to_owned()).is_ok());
        let error = policy("blok = [\"RU\"]\n".to_owned()).unwrap_err();
        assert!(error.to_string().contains("blok"), "{error}");
        let comment = |bytes: usize| format!("#{}", "a".repeat(bytes - 1));
        assert!(policy(comment(65_536)).is_ok());
        assert!(policy(comment(65_537)).is_err());
    }

    proptest! {
        #[test]
        fn every_text_becomes_an_exception_that_nodes_can_read_or_an_error(
            from in "\\PC{0,24}", to in "[a-zA-Z0-9./:-]{0,24}", ports in prop::option::of("[0-9-]{1,11}"),
            words in "\\PC{0,24}", end in prop::option::of("[0-9a-zT:-]{0,24}"), is_span in any::<bool>(),
        ) {
            let (expires, until) = if is_span { (end, None) } else { (None, end) };
            let spec = GeofenceExceptionSpec {
                from: vec![from],
                to: vec![to],
                ports: ports.into_iter().collect(),
                owner: words.clone(),
                reason: words,
                expires,
                until,
                ..spec()
            };
            if let Ok(read) = exception(&object("a", spec)) {
                prop_assert!(read.check_alone(UnixSeconds(0)).is_ok());
                let text = serde_json::to_string(&read).unwrap();
                prop_assert_eq!(serde_json::from_str::<ExceptionSpec>(&text).unwrap(), read);
            }
        }
    }
}
