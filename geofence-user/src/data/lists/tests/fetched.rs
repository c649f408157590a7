//! Lists from a server on the loopback: what is requested, what is stored, and what a bad answer changes.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};

use crate::data::lists::store::Store;
use crate::data::lists::{LocalAddresses, UpdateOptions, UpdateOutcome as Outcome, update};
use crate::data::test_server::{Server, answer};
use crate::model::list::{Action, Api, Definition, Direction, Format, Source, SpecialUseEntries};
use crate::model::secret::Access;
use crate::model::units::UnixSeconds;

fn definition(url: &str) -> Definition {
    Definition {
        name: "bad".to_owned(),
        source: Source::Url(url.to_owned()),
        format: Format::Plain,
        action: Action::Block,
        direction: Direction::Both,
        expires: None,
        special_use: SpecialUseEntries::Refuse,
        max_share: None,
        api: Api::None,
        access: Access::default(),
    }
}

/// A store, and a list with a URL.
struct Fixture {
    _directory: tempfile::TempDir,
    store: Store,
    definition: Definition,
}

impl Fixture {
    fn new(url: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            store: Store::at(directory.path()),
            _directory: directory,
            definition: definition(url),
        }
    }

    fn update_at(&self, now: u64, force: bool) -> Outcome {
        let local = LocalAddresses::default();
        let quiet = &mut |_, _| {};
        update(
            &self.definition,
            &local,
            &self.store,
            UpdateOptions {
                force,
                is_named: true,
            },
            UnixSeconds(now),
            quiet,
        )
        .unwrap()
    }

    fn text(&self) -> Option<Vec<u8>> {
        let stored = self.store.load("bad").unwrap();
        stored.map(|stored| stored.text)
    }
}

#[test]
fn update_requests_only_a_new_text() {
    let validators = "ETag: \"abc\"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n";
    let server = Server::new(vec![
        answer("200 OK", validators, "5.9.0.1\n5.9.0.2\n"),
        answer("304 Not Modified", validators, ""),
        answer("200 OK", "", "5.9.0.3\n"),
        answer("200 OK", "", "5.9.0.3\n"),
    ]);
    let fixture = Fixture::new(&server.url);
    let first = Outcome::Updated {
        entries: 2,
        before: None,
    };
    assert_eq!(fixture.update_at(100, false), first);
    assert_eq!(
        fixture.store.status("bad").unwrap().confirmed,
        Some(UnixSeconds(100))
    );
    assert_eq!(
        fixture.update_at(200, false),
        Outcome::Unchanged { entries: 2 }
    );
    assert_eq!(
        fixture.store.status("bad").unwrap().confirmed,
        Some(UnixSeconds(200))
    );
    let third = Outcome::Updated {
        entries: 1,
        before: Some(2),
    };
    assert_eq!(fixture.update_at(300, false), third);
    assert_eq!(
        fixture.update_at(400, false),
        Outcome::Unchanged { entries: 1 }
    );
    assert_eq!(fixture.text().as_deref(), Some(&b"5.9.0.3\n"[..]));
    let requests = server.requests();
    let conditions = |request: &String| {
        [
            "if-none-match: \"abc\"\r\n",
            "if-modified-since: thu, 01 jan 2026 00:00:00 gmt\r\n",
        ]
        .iter()
        .filter(|line| request.contains(**line))
        .count()
    };
    assert_eq!(
        requests.iter().map(conditions).collect::<Vec<_>>(),
        [0, 2, 2, 0]
    );
    assert!(
        requests[0].contains("user-agent: geofence/"),
        "{}",
        requests[0]
    );
}

#[test]
fn bad_answer_leaves_the_last_good_text() {
    let gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\x03";
    let cut = answer("200 OK", "", "5.9.0.1\n5.9.0.2\n");
    let page = "<!doctype html><html>please log in</html>";
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (answer("200 OK", "", page), "this is a web page (HTML)"),
        (answer("200 OK", "", ""), "it is empty"),
        (answer("200 OK", "", gzip), "packed with gzip"),
        (answer("200 OK", "", "10.0.0.0/8\n"), "special-use space"),
        (
            answer("200 OK", "", "5.9.0.1\n".repeat(5) + "oops"),
            "line 6: `oops`",
        ),
        (
            answer("404 Not Found", "", page),
            "answers 404 Not Found; the list has moved",
        ),
        (
            answer("403 Forbidden", "", "no"),
            "wants a login or blocks this machine",
        ),
        (
            answer("500 Internal Server Error", "", "no"),
            "try again later",
        ),
        (answer("204 No Content", "", ""), "answers 204"),
        (answer("302 Found", "Location: /list\r\n", ""), "list: "),
        (cut[..cut.len() - 4].to_vec(), "broke off"),
        (
            b"SSH-2.0-x\r\n".to_vec(),
            "check that this machine reaches the server",
        ),
        (Vec::new(), "check that this machine reaches the server"),
    ];
    let good = answer("200 OK", "", "5.9.0.7\n");
    let mut answers = vec![good];
    for (answer, said) in &cases {
        // A redirection to itself is followed for a while.
        let times = if *said == "list: " { 6 } else { 1 };
        answers.extend(vec![answer.clone(); times]);
    }
    let server = Server::new(answers);
    let fixture = Fixture::new(&server.url);
    assert!(matches!(
        fixture.update_at(100, false),
        Outcome::Updated { .. }
    ));
    for (number, (_, said)) in (200..).zip(&cases) {
        let (Outcome::Rejected { why, entries } | Outcome::Failed { why, entries }) =
            fixture.update_at(number, false)
        else {
            panic!("{said}: it was accepted")
        };
        assert!(why.contains(said), "{said}: {why}");
        assert!(why.starts_with("http://127.0.0.1:"), "{why}");
        assert_eq!(entries, Some(1));
        assert_eq!(fixture.text().as_deref(), Some(&b"5.9.0.7\n"[..]));
        let status = fixture.store.status("bad").unwrap();
        assert_eq!(status.confirmed, Some(UnixSeconds(100)), "{said}");
        let refused = status.refused.unwrap();
        assert_eq!((refused.when, refused.why), (UnixSeconds(number), why));
    }
    server.requests();
}

#[test]
fn list_ten_times_its_size_is_accepted_when_forced() {
    let many: String = (0..10).map(|number| format!("5.9.0.{number}\n")).collect();
    let server = Server::new(vec![
        answer("200 OK", "ETag: \"a\"\r\n", "5.9.1.1\n"),
        answer("200 OK", "", &many),
        answer("200 OK", "", &many),
    ]);
    let fixture = Fixture::new(&server.url);
    fixture.update_at(100, false);
    let Outcome::Rejected { why, .. } = fixture.update_at(200, false) else {
        panic!("it was accepted")
    };
    assert!(
        why.contains("it has 10 entries, at least ten times as many as before (1)"),
        "{why}"
    );
    let forced = Outcome::Updated {
        entries: 10,
        before: Some(1),
    };
    assert_eq!(fixture.update_at(300, true), forced);
    // A forced update fetches the text, whether it has changed or not.
    let requests = server.requests();
    assert!(requests[1].contains("if-none-match") && !requests[2].contains("if-none-match"));
}

#[test]
fn endless_answer_is_cut_off() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}/list", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        // One answer announces that it is too long, one does not.
        for head in ["Content-Length: 99999999999\r\n", ""] {
            let (mut stream, _) = listener.accept().unwrap();
            let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{head}\r\n");
            stream.write_all(head.as_bytes()).unwrap();
            let part = vec![b'#'; 1 << 20];
            while stream.write_all(&part).is_ok() {}
        }
    });
    let fixture = Fixture::new(&url);
    for _ in 0..2 {
        let Outcome::Failed { why, entries: None } = fixture.update_at(100, false) else {
            panic!("it was accepted")
        };
        assert!(why.contains("the answer has more than 320 MiB"), "{why}");
    }
    server.join().unwrap();
}

#[test]
fn fetched_list_is_empty_only_if_it_says_so() {
    let whole = [
        (Format::Crowdsec, "[]"),
        (Format::Crowdsec, "null"),
        (Format::Crowdsec, "{\"decisions\":[]}"),
        (Format::Stix, "{\"type\":\"bundle\",\"objects\":[]}"),
        (Format::Misp, "{\"response\":[]}"),
        (
            Format::Feodo,
            "# first_seen_utc,dst_ip,dst_port\n# END 0 entries\n",
        ),
        (
            Format::SpamhausJson,
            "{\"type\":\"metadata\",\"records\":0}\n",
        ),
        (Format::Netset, "# Entries : 0 subnets\n"),
        (Format::Ipset, "create theirs hash:ip family inet\n"),
        (
            Format::Nftables,
            "table ip t {\n\tset s {\n\t\ttype ipv4_addr\n\t}\n}\n",
        ),
    ];
    let merely_empty = [
        (Format::Plain, "# nothing\n"),
        (Format::Plain, ""),
        (Format::Spamhaus, "; none\n"),
        (Format::Feodo, "first_seen_utc,dst_ip,dst_port\n"),
        (Format::Crowdsec, "{\"message\":\"access forbidden\"}"),
        (Format::Stix, "{\"title\":\"Too many requests\"}"),
        (Format::Misp, "{}"),
        (Format::Netset, "\n"),
        (Format::Ipset, "# none\n"),
        (
            Format::Nftables,
            "table ip t {\n\tset s {\n\t\ttype ipv4_addr\n",
        ),
    ];
    for (is_accepted, cases) in [(true, whole), (false, merely_empty)] {
        for (format, text) in cases {
            let server = Server::new(vec![answer("200 OK", "", text)]);
            let mut fixture = Fixture::new(&server.url);
            fixture.definition.format = format;
            let outcome = fixture.update_at(100, false);
            let is_updated = matches!(outcome, Outcome::Updated { entries: 0, .. });
            assert_eq!(is_updated, is_accepted, "{format:?} {text:?}: {outcome:?}");
            server.requests();
        }
    }
}
