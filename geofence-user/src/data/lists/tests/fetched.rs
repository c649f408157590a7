//! Lists from a server on this machine's loopback: what is asked, what is kept, and what a bad answer changes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::*;
use crate::data::lists::sanity::Surroundings;
use crate::data::lists::store::Store;
use crate::data::lists::update::{Outcome, update};

/// A server that gives its answers in order, one a connection, and tells what it was asked.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn new(answers: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}/list", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&asked);
        let thread = std::thread::spawn(move || {
            for answer in answers {
                let (stream, _) = listener.accept().unwrap();
                let mut request = String::new();
                let mut lines = BufReader::new(&stream);
                while lines.read_line(&mut request).unwrap() > 2 {}
                heard.lock().unwrap().push(request.to_lowercase());
                // Whoever has heard enough hangs up.
                let _ = (&stream).write_all(&answer);
            }
        });
        Self {
            url,
            asked,
            thread: Some(thread),
        }
    }

    /// What was asked, when all answers have been given.
    fn asked(mut self) -> Vec<String> {
        self.thread.take().unwrap().join().unwrap();
        self.asked.lock().unwrap().clone()
    }
}

fn answer(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn definition(url: &str) -> Definition {
    Definition {
        name: "bad".to_owned(),
        source: Source::Url(url.to_owned()),
        format: Format::Plain,
        action: Action::Block,
        direction: Direction::Both,
        expires: None,
    }
}

struct Ground {
    _place: tempfile::TempDir,
    store: Store,
    definition: Definition,
}

impl Ground {
    fn new(url: &str) -> Self {
        let place = tempfile::tempdir().unwrap();
        Self {
            store: Store::at(place.path()),
            _place: place,
            definition: definition(url),
        }
    }

    fn update_at(&self, now: u64, force: bool) -> Outcome {
        let around = Surroundings::default();
        let quiet = &mut |_, _| {};
        update(&self.definition, &around, &self.store, force, now, quiet).unwrap()
    }

    fn text(&self) -> Option<Vec<u8>> {
        let kept = self.store.load("bad").unwrap();
        kept.map(|kept| kept.text)
    }
}

#[test]
fn only_what_is_new_is_asked_for() {
    let marks = "ETag: \"abc\"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n";
    let server = Server::new(vec![
        answer("200 OK", marks, "5.9.0.1\n5.9.0.2\n"),
        answer("304 Not Modified", marks, ""),
        answer("200 OK", "", "5.9.0.3\n"),
        answer("200 OK", "", "5.9.0.3\n"),
    ]);
    let ground = Ground::new(&server.url);
    let first = Outcome::Updated {
        entries: 2,
        before: None,
    };
    assert_eq!(ground.update_at(100, false), first);
    assert_eq!(ground.store.status("bad").unwrap().confirmed, Some(100));
    assert_eq!(
        ground.update_at(200, false),
        Outcome::Unchanged { entries: 2 }
    );
    assert_eq!(ground.store.status("bad").unwrap().confirmed, Some(200));
    let third = Outcome::Updated {
        entries: 1,
        before: Some(2),
    };
    assert_eq!(ground.update_at(300, false), third);
    assert_eq!(
        ground.update_at(400, false),
        Outcome::Unchanged { entries: 1 }
    );
    assert_eq!(ground.text().as_deref(), Some(&b"5.9.0.3\n"[..]));
    let asked = server.asked();
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
        asked.iter().map(conditions).collect::<Vec<_>>(),
        [0, 2, 2, 0]
    );
    assert!(asked[0].contains("user-agent: geofence/"), "{}", asked[0]);
}

#[test]
fn a_bad_answer_leaves_what_was_good() {
    let gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\x03";
    let cut = answer("200 OK", "", "5.9.0.1\n5.9.0.2\n");
    let page = "<!doctype html><html>please log in</html>";
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (answer("200 OK", "", page), "a page for people (HTML)"),
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
        (answer("403 Forbidden", "", "no"), "wants a login"),
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
    let ground = Ground::new(&server.url);
    assert!(matches!(
        ground.update_at(100, false),
        Outcome::Updated { .. }
    ));
    for (number, (_, said)) in (200..).zip(&cases) {
        let (Outcome::Refused { why, entries } | Outcome::Failed { why, entries }) =
            ground.update_at(number, false)
        else {
            panic!("{said}: it was taken")
        };
        assert!(why.contains(said), "{said}: {why}");
        assert!(why.starts_with("http://127.0.0.1:"), "{why}");
        assert_eq!(entries, Some(1));
        assert_eq!(ground.text().as_deref(), Some(&b"5.9.0.7\n"[..]));
        let status = ground.store.status("bad").unwrap();
        assert_eq!(status.confirmed, Some(100), "{said}");
        let refused = status.refused.unwrap();
        assert_eq!((refused.when, refused.why), (number, why));
    }
    server.asked();
}

#[test]
fn a_list_ten_times_its_size_is_taken_when_forced() {
    let many: String = (0..10).map(|number| format!("5.9.0.{number}\n")).collect();
    let server = Server::new(vec![
        answer("200 OK", "ETag: \"a\"\r\n", "5.9.1.1\n"),
        answer("200 OK", "", &many),
        answer("200 OK", "", &many),
    ]);
    let ground = Ground::new(&server.url);
    ground.update_at(100, false);
    let Outcome::Refused { why, .. } = ground.update_at(200, false) else {
        panic!("it was taken")
    };
    assert!(
        why.contains("it has 10 entries, ten times as many as before (1) or more"),
        "{why}"
    );
    let forced = Outcome::Updated {
        entries: 10,
        before: Some(1),
    };
    assert_eq!(ground.update_at(300, true), forced);
    // Whoever forces wants to see what there is, and not whether it has changed.
    let asked = server.asked();
    assert!(asked[1].contains("if-none-match") && !asked[2].contains("if-none-match"));
}

#[test]
fn an_answer_without_end_is_cut_off() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}/list", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        // One says beforehand that it is too long, one does not.
        for head in ["Content-Length: 99999999999\r\n", ""] {
            let (mut stream, _) = listener.accept().unwrap();
            let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{head}\r\n");
            stream.write_all(head.as_bytes()).unwrap();
            let part = vec![b'#'; 1 << 20];
            while stream.write_all(&part).is_ok() {}
        }
    });
    let ground = Ground::new(&url);
    for _ in 0..2 {
        let Outcome::Failed { why, entries: None } = ground.update_at(100, false) else {
            panic!("it was taken")
        };
        assert!(why.contains("the answer has more than 320 MiB"), "{why}");
    }
    server.join().unwrap();
}
