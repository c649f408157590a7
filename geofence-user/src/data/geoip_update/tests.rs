//! Databases from a server on the loopback that is shaped like each vendor's.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use super::download::{Role, obtain, sha256};
use super::state::FileState;
use crate::data::test_server::{Server, answer};
use crate::model::geoip_source::GeoipOrigin;
use crate::model::secret::SecretSource;
use crate::model::units::UnixSeconds;

/// 2026-06-15.
const NOW: UnixSeconds = UnixSeconds(1_781_481_600);
const SECRET: &str = "hunter2-hunter2";

fn secret() -> (tempfile::TempDir, SecretSource) {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("key");
    fs::write(&path, SECRET).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    (place, SecretSource::File(path))
}

fn root(server: &Server) -> String {
    server.url.trim_end_matches("/list").to_owned()
}

/// What an update gets: the bytes and the state, nothing new, or why not.
fn get(
    origin: &GeoipOrigin,
    role: Role,
    known: &FileState,
) -> Result<Option<(Vec<u8>, FileState)>, String> {
    let obtained = obtain(origin, role, known, NOW, &mut |_, _| {});
    let obtained = obtained.map_err(|error| error.why)?;
    Ok(obtained.map(|got| (got.bytes, got.state)))
}

#[test]
fn maxmind_is_asked_for_its_checksum_first() {
    let checksum = |bytes: &[u8]| {
        let text = format!("{}  GeoLite2-ASN_20260612.tar.gz\n", sha256(bytes));
        answer("200 OK", "", text)
    };
    let server = Server::new(vec![
        checksum(b"one"),
        answer("200 OK", "Last-Modified: x\r\n", "one"),
        checksum(b"one"),
        checksum(b"two"),
        answer("200 OK", "", "tw"),
        answer("401 Unauthorized", "", SECRET),
        answer("200 OK", "", "<html>log in</html>"),
    ]);
    let (_place, license_key) = secret();
    let origin = GeoipOrigin::MaxMind {
        server: root(&server),
        edition: None,
        account: "42".to_owned(),
        license_key,
    };
    let ask = |known: &FileState| get(&origin, Role::AutonomousSystems, known);
    let (bytes, known) = ask(&FileState::default()).unwrap().unwrap();
    assert_eq!(
        (bytes.as_slice(), known.confirmed),
        (&b"one"[..], Some(NOW))
    );
    assert!(ask(&known).unwrap().is_none(), "nothing is new");
    for said in [
        "the SHA-256 of the answer is not the one",
        "does not accept the credential",
        "this is not a SHA-256",
    ] {
        let why = ask(&known).unwrap_err();
        assert!(why.contains(said) && !why.contains(SECRET), "{said}: {why}");
    }
    let requests = server.requests();
    let path = "get /geoip/databases/geolite2-asn/download?suffix=tar.gz";
    assert!(
        requests[0].starts_with(&format!("{path}.sha256 ")),
        "{requests:?}"
    );
    assert!(requests[1].starts_with(&format!("{path} ")), "{requests:?}");
    // Of 42:hunter2-hunter2.
    let login = "authorization: basic ndi6ahvudgvymi1odw50zxiy\r\n";
    assert!(
        requests.iter().all(|one| one.contains(login)),
        "{requests:?}"
    );
}

#[test]
fn db_ip_has_last_month_until_this_month_is_there() {
    let server = Server::new(vec![
        answer("404 Not Found", "", ""),
        answer("200 OK", "ETag: \"a\"\r\n", "may"),
        answer("404 Not Found", "", ""),
        answer("304 Not Modified", "", ""),
        answer("200 OK", "", "june"),
        answer("404 Not Found", "", ""),
        answer("404 Not Found", "", ""),
        answer("500 Internal Server Error", "", ""),
    ]);
    let origin = GeoipOrigin::DbIp {
        server: root(&server),
        edition: None,
    };
    let ask = |known: &FileState| get(&origin, Role::Countries, known);
    let (bytes, known) = ask(&FileState::default()).unwrap().unwrap();
    assert_eq!(bytes, b"may");
    assert!(ask(&known).unwrap().is_none());
    assert_eq!(ask(&known).unwrap().unwrap().0, b"june");
    let why = ask(&known).unwrap_err();
    assert!(why.contains("the database has moved"), "{why}");
    let why = ask(&known).unwrap_err();
    assert!(
        why.contains("2026-06.mmdb.gz: the server answers 500"),
        "{why}"
    );
    let requests = server.requests();
    for (request, month) in requests
        .iter()
        .zip(["06", "05", "06", "05", "06", "06", "05", "06"])
    {
        let path = format!("get /free/dbip-country-lite-2026-{month}.mmdb.gz ");
        assert!(request.starts_with(&path), "{path}: {request}");
    }
    assert!(requests[3].contains("if-none-match: \"a\""), "{requests:?}");
    assert!(!requests[4].contains("if-none-match"), "{requests:?}");
}

#[test]
fn token_of_ipinfo_is_in_no_message() {
    let server = Server::new(vec![
        answer("200 OK", "", "lite"),
        answer("403 Forbidden", "", SECRET),
        answer("200 OK", "", b"\x1f\x8b broken"),
    ]);
    let (_place, token) = secret();
    let origin = GeoipOrigin::IpInfo {
        server: root(&server),
        edition: None,
        token,
    };
    let known = FileState::default();
    let (bytes, state) = get(&origin, Role::Both, &known).unwrap().unwrap();
    assert_eq!(bytes, b"lite");
    assert!(!serde_json::to_string(&state).unwrap().contains(SECRET));
    for said in ["answers 403", "the answer does not unpack"] {
        let why = get(&origin, Role::Both, &known).unwrap_err();
        assert!(why.contains(said) && !why.contains(SECRET), "{why}");
    }
    let requests = server.requests();
    let path = format!("get /data/ipinfo_lite.mmdb?token={SECRET} ");
    assert!(requests[0].starts_with(&path), "{requests:?}");
}

#[test]
fn file_is_copied_when_it_is_another() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("a.mmdb");
    let origin = GeoipOrigin::File(path.clone());
    let ask = |known: &FileState| get(&origin, Role::Countries, known);
    let why = ask(&FileState::default()).unwrap_err();
    assert!(why.contains("a.mmdb: No such file"), "{why}");
    fs::write(&path, "one").unwrap();
    let (bytes, known) = ask(&FileState::default()).unwrap().unwrap();
    assert_eq!(bytes, b"one");
    assert!(ask(&known).unwrap().is_none());
    fs::write(&path, "two").unwrap();
    assert_eq!(ask(&known).unwrap().unwrap().0, b"two");
}
