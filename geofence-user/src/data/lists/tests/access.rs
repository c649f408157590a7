//! Servers that want to know who asks, and those that would give the secret away or want to be left alone.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use crate::data::lists::store::Store;
use crate::data::lists::{LocalAddresses, UpdateOptions, UpdateOutcome as Outcome, update};
use crate::data::test_server::{Server, answer};
use crate::model::list::{Action, Api, Definition, Direction, Format, Source, SpecialUseEntries};
use crate::model::secret::{Access, Login, SecretSource};
use crate::model::units::UnixSeconds;

const SECRET: &str = "hunter2-hunter2";

/// A store, and a list from a server that wants a secret.
struct Fixture {
    directory: tempfile::TempDir,
    store: Store,
    definition: Definition,
}

impl Fixture {
    fn new(url: &str, access: impl FnOnce(SecretSource) -> Access) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        fs::write(&path, format!("{SECRET}\n")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        Self {
            store: Store::at(directory.path()),
            definition: Definition {
                name: "feed".to_owned(),
                source: Source::Url(url.to_owned()),
                format: Format::Plain,
                api: Api::None,
                action: Action::Block,
                direction: Direction::Both,
                expires: None,
                special_use: SpecialUseEntries::Refuse,
                max_share: None,
                access: access(SecretSource::File(path)),
            },
            directory,
        }
    }

    fn secret(&self) -> PathBuf {
        self.directory.path().join("secret")
    }

    fn update_at(&self, now: u64, is_named: bool) -> Outcome {
        let options = UpdateOptions {
            force: false,
            is_named,
        };
        let (local, now) = (LocalAddresses::default(), UnixSeconds(now));
        let quiet = &mut |_, _| {};
        update(&self.definition, &local, &self.store, options, now, quiet).unwrap()
    }

    fn why(&self, now: u64) -> String {
        let (Outcome::Rejected { why, .. } | Outcome::Failed { why, .. }) =
            self.update_at(now, true)
        else {
            panic!("it was accepted")
        };
        let refused = self.store.status("feed").unwrap().refused.unwrap();
        assert_eq!(refused.why, why);
        why
    }
}

fn key(secret: SecretSource) -> Access {
    Access {
        headers: vec![("X-Api-Key".to_owned(), secret)],
        login: None,
    }
}

fn bearer(secret: SecretSource) -> Access {
    Access {
        headers: Vec::new(),
        login: Some(Login::Bearer(secret)),
    }
}

fn basic(password: SecretSource) -> Access {
    Access {
        headers: Vec::new(),
        login: Some(Login::Basic {
            user: "us".to_owned(),
            password,
        }),
    }
}

#[test]
fn server_gets_the_secret_in_the_header_that_it_wants() {
    for (access, header) in [
        (
            key as fn(SecretSource) -> Access,
            format!("x-api-key: {SECRET}\r\n"),
        ),
        (bearer, format!("authorization: bearer {SECRET}\r\n")),
        (
            basic,
            "authorization: basic dxm6ahvudgvymi1odw50zxiy\r\n".to_owned(),
        ),
    ] {
        let server = Server::new(vec![answer("200 OK", "", "5.9.0.1\n")]);
        let fixture = Fixture::new(&server.url, access);
        assert!(matches!(
            fixture.update_at(100, true),
            Outcome::Updated { .. }
        ));
        let requests = server.requests();
        assert!(requests[0].contains(&header), "{header}: {requests:?}");
        assert!(!format!("{:?}", fixture.definition).contains(SECRET));
    }
}

#[test]
fn secret_stays_with_its_server_when_that_redirects() {
    for access in [key as fn(SecretSource) -> Access, bearer, basic] {
        let other = Server::new(vec![answer("200 OK", "", "5.9.0.1\n")]);
        let there = format!("Location: {}/moved\r\n", other.by_name());
        let first = Server::new(vec![
            answer("307 Temporary Redirect", "Location: /here\r\n", ""),
            answer("302 Found", &there, ""),
        ]);
        let fixture = Fixture::new(&first.url, access);
        assert!(matches!(
            fixture.update_at(100, true),
            Outcome::Updated { .. }
        ));
        let has_secret = |request: &String| {
            request.contains(SECRET)
                || request.contains("authorization:")
                || request.contains("x-api-key")
        };
        let first = first.requests();
        assert!(first.iter().all(has_secret), "{first:?}");
        let other = other.requests();
        assert!(
            other[0].starts_with("get /moved ") && !has_secret(&other[0]),
            "{other:?}"
        );
    }
}

#[test]
fn redirect_to_anything_but_the_web_is_not_followed() {
    for to in [
        "file:///etc/passwd",
        "gopher://127.0.0.1/x",
        "ftp://127.0.0.1/",
    ] {
        let headers = format!("Location: {to}\r\n");
        let server = Server::new(vec![answer("302 Found", &headers, "")]);
        let fixture = Fixture::new(&server.url, key);
        let why = fixture.why(100);
        assert!(why.contains("which is not followed"), "{why}");
        server.requests();
    }
}

#[test]
fn secret_that_a_server_repeats_is_hidden() {
    let said = format!("{SECRET} is not an address\n");
    let location = format!("Location: {SECRET}://x/\r\n");
    let server = Server::new(vec![
        answer("200 OK", "", &said),
        answer("302 Found", &location, ""),
        answer("403 Forbidden", "", &said),
    ]);
    let fixture = Fixture::new(&server.url, key);
    for (now, expected) in [
        (100, "line 1: `***"),
        (200, "***"),
        (300, "does not accept the credential of the configuration"),
    ] {
        let why = fixture.why(now);
        assert!(why.contains(expected), "{why}");
        assert!(!why.contains(SECRET), "{why}");
    }
    server.requests();
}

#[test]
fn secret_that_is_missing_or_exposed_is_not_asked_with() {
    let fixture = Fixture::new("http://127.0.0.1:1/list", key);
    fs::set_permissions(fixture.secret(), Permissions::from_mode(0o644)).unwrap();
    let why = fixture.why(100);
    assert!(why.contains("has the mode 644"), "{why}");
    fs::remove_file(fixture.secret()).unwrap();
    let why = fixture.why(200);
    assert!(why.contains("No such file"), "{why}");
    // The configuration refuses this; the request does as well.
    let fixture = Fixture::new("http://192.0.2.1/list", key);
    let why = fixture.why(100);
    assert!(why.contains("over https only"), "{why}");
}

#[test]
fn server_that_wants_to_be_left_alone_is_asked_later_or_by_name() {
    let busy = answer("429 Too Many Requests", "Retry-After: 600\r\n", "");
    let broken = answer("503 Service Unavailable", "Retry-After: 99999999\r\n", "");
    let server = Server::new(vec![
        answer("200 OK", "", "5.9.0.1\n"),
        busy.clone(),
        busy,
        answer("500 Internal Server Error", "Retry-After: 600\r\n", ""),
        broken,
    ]);
    let fixture = Fixture::new(&server.url, key);
    fixture.update_at(100, false);
    let failed = |outcome| {
        let Outcome::Failed { why, entries } = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(entries, Some(1));
        why
    };
    let why = failed(fixture.update_at(1000, false));
    assert!(why.contains("fetch less often"), "{why}");
    let postponed = |until| Outcome::Postponed {
        until: UnixSeconds(until),
        entries: Some(1),
    };
    assert_eq!(fixture.update_at(1001, false), postponed(1600));
    assert_eq!(fixture.update_at(1599, false), postponed(1600));
    failed(fixture.update_at(1500, true));
    assert_eq!(fixture.update_at(2099, false), postponed(2100));
    // Only what a server says when it is busy counts, and a week at most.
    failed(fixture.update_at(2100, false));
    failed(fixture.update_at(2101, false));
    assert_eq!(fixture.update_at(2102, false), postponed(2101 + 7 * 86_400));
    server.requests();
}
