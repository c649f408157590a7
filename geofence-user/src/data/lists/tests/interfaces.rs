//! Servers with an interface: CrowdSec's local API, TAXII 2.1 and MISP, and answers that are none of theirs.

use crate::data::lists::store::Store;
use crate::data::lists::{LocalAddresses, UpdateOptions, UpdateOutcome as Outcome, update};
use crate::data::test_server::{Server, answer};
use crate::model::list::{Action, Api, Definition, Direction, Format, Source, SpecialUseEntries};
use crate::model::secret::Access;
use crate::model::units::UnixSeconds;

/// Some time in 2027.
const NOW: u64 = 1_800_000_000;

/// A store, and a list from a server with an interface.
struct Fixture {
    _directory: tempfile::TempDir,
    store: Store,
    definition: Definition,
}

impl Fixture {
    fn new(url: &str, api: Api) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            store: Store::at(directory.path()),
            _directory: directory,
            definition: Definition {
                name: "api".to_owned(),
                source: Source::Url(url.trim_end_matches("/list").to_owned()),
                format: api.format().unwrap_or(Format::Plain),
                api,
                action: Action::Block,
                direction: Direction::Both,
                expires: None,
                special_use: SpecialUseEntries::Refuse,
                max_share: None,
                access: Access::default(),
            },
        }
    }

    /// Updates at this many seconds after the start.
    fn update(&self, after: u64) -> Outcome {
        let (local, now) = (LocalAddresses::default(), UnixSeconds(NOW + after));
        let options = UpdateOptions::default();
        let quiet = &mut |_, _| {};
        update(&self.definition, &local, &self.store, options, now, quiet).unwrap()
    }

    fn entries(&self, after: u64) -> Vec<String> {
        let stored = self.store.load("api").unwrap().unwrap();
        let read = crate::data::lists::read(
            &stored.text,
            self.definition.format,
            "stored",
            stored.header.since,
        );
        let read = read.unwrap();
        let now = UnixSeconds(NOW + after);
        let live = read.entries.iter().filter(|entry| !entry.is_over(now));
        live.map(|entry| entry.net.to_string()).collect()
    }

    fn why(&self, after: u64) -> String {
        let (Outcome::Rejected { why, .. } | Outcome::Failed { why, .. }) = self.update(after)
        else {
            panic!("it was accepted")
        };
        why
    }
}

/// The first lines of requests.
fn paths(requests: Vec<String>) -> Vec<String> {
    let path = |request: &String| {
        let line = request.lines().next().unwrap_or_default();
        line.trim_end_matches(" http/1.1").to_owned()
    };
    requests.iter().map(path).collect()
}

fn decision(scope: &str, value: &str, duration: &str) -> String {
    format!(
        "{{\"id\":1,\"origin\":\"CAPI\",\"scenario\":\"ssh\",\"scope\":\"{scope}\",\"type\":\"ban\",\
         \"value\":\"{value}\",\"duration\":\"{duration}\"}}"
    )
}

#[test]
fn crowdsec_gives_everything_and_then_changes() {
    let ok = |body: &str| answer("200 OK", "Content-Type: application/json\r\n", body);
    let all = [
        decision("Ip", "5.9.0.1", "4h"),
        decision("Ip", "5.9.0.2", "1h"),
        decision("Range", "5.9.1.0/24", "23h59m59.5s"),
        decision("Country", "RU", "4h"),
        decision("AS", "64500", "4h"),
    ]
    .join(",");
    let change = format!(
        "{{\"new\":[{}],\"deleted\":[{},{}]}}",
        decision("Ip", "5.9.0.3", "2h"),
        decision("ip", "5.9.0.1", "-1m"),
        decision("Ip", "5.9.9.9", "-1m"),
    );
    let server = Server::new(vec![
        ok(&format!("{{\"new\":[{all}],\"deleted\":null}}")),
        ok(&change),
        ok("{\"new\":null,\"deleted\":null}"),
        ok("{\"message\":\"oops\"}"),
        ok(&format!(
            "{{\"new\":[{}]}}",
            decision("Ip", "5.9.0.4", "4h")
        )),
        ok(&format!(
            "{{\"new\":[{}]}}",
            decision("Ip", "5.9.0.5", "4h")
        )),
    ]);
    let fixture = Fixture::new(&server.url, Api::Crowdsec);
    let first = Outcome::Updated {
        entries: 3,
        before: None,
    };
    assert_eq!(fixture.update(0), first);
    assert_eq!(
        fixture.entries(10),
        ["5.9.0.1/32", "5.9.0.2/32", "5.9.1.0/24"]
    );
    assert_eq!(fixture.entries(3601), ["5.9.0.1/32", "5.9.1.0/24"]);
    let second = Outcome::Updated {
        entries: 3,
        before: Some(3),
    };
    assert_eq!(fixture.update(600), second);
    assert_eq!(
        fixture.entries(700),
        ["5.9.0.2/32", "5.9.0.3/32", "5.9.1.0/24"]
    );
    // A decision ends when it said at first, however often changes are read.
    assert_eq!(fixture.entries(3601), ["5.9.0.3/32", "5.9.1.0/24"]);
    assert_eq!(fixture.update(1200), Outcome::Unchanged { entries: 3 });
    // What a failed update missed is not given again, so everything is asked for.
    let why = fixture.why(1800);
    assert!(why.contains("not a stream of decisions"), "{why}");
    fixture.update(2400);
    assert_eq!(fixture.entries(2500), ["5.9.0.4/32"]);
    fixture.update(2400 + 86_400);
    let asked = paths(server.requests());
    let startup = |startup| format!("get /v1/decisions/stream?startup={startup}");
    let expected = [true, false, false, false, true, true].map(startup);
    assert_eq!(asked, expected);
}

#[test]
fn change_that_was_asked_for_and_lost_is_made_up_for() {
    let body = |value| format!("{{\"new\":[{}]}}", decision("Ip", value, "4h"));
    let server = Server::new(vec![
        answer("200 OK", "", body("5.9.0.1")),
        answer("200 OK", "", body("5.9.0.2")),
    ]);
    let fixture = Fixture::new(&server.url, Api::Crowdsec);
    fixture.update(0);
    // An update that was killed behind its request leaves this behind.
    let mut status = fixture.store.status("api").unwrap();
    status.is_asking = true;
    fixture.store.save_status("api", &status).unwrap();
    fixture.update(600);
    assert_eq!(fixture.entries(700), ["5.9.0.2/32"]);
    assert!(paths(server.requests())[1].ends_with("startup=true"));
}

fn indicator(id: u32, modified: u32, address: &str) -> String {
    format!(
        "{{\"type\":\"indicator\",\"spec_version\":\"2.1\",\"id\":\"indicator--{id}\",\
         \"modified\":\"2026-01-0{modified}T00:00:00Z\",\"pattern_type\":\"stix\",\
         \"pattern\":\"[ipv4-addr:value = '{address}']\",\"valid_from\":\"2026-01-01T00:00:00Z\"}}"
    )
}

#[test]
fn taxii_collection_is_read_page_by_page_and_then_by_what_was_added() {
    let page = |last: &str, body: String| {
        let kind = "Content-Type: application/taxii+json;version=2.1\r\n";
        let last = format!("{kind}X-TAXII-Date-Added-Last: {last}\r\n");
        answer("200 OK", &last, body)
    };
    let server = Server::new(vec![
        page(
            "2026-01-01T00:00:01.000Z",
            format!(
                "{{\"more\":true,\"next\":\"a b\",\"objects\":[{}]}}",
                indicator(1, 1, "5.9.0.1")
            ),
        ),
        page(
            "2026-01-01T00:00:02.000Z",
            format!(
                "{{\"more\":false,\"objects\":[{}]}}",
                indicator(2, 1, "5.9.0.2")
            ),
        ),
        page("", "{}".to_owned()),
        page(
            "2026-01-01T00:00:03.000Z",
            format!("{{\"objects\":[{}]}}", indicator(1, 2, "5.9.0.9")),
        ),
        page(
            "2026-01-01T00:00:03.000Z",
            format!("{{\"objects\":[{}]}}", indicator(1, 2, "5.9.0.9")),
        ),
    ]);
    let fixture = Fixture::new(&server.url, Api::Taxii);
    assert!(matches!(
        fixture.update(0),
        Outcome::Updated { entries: 2, .. }
    ));
    assert_eq!(fixture.update(600), Outcome::Unchanged { entries: 2 });
    assert!(matches!(
        fixture.update(1200),
        Outcome::Updated { entries: 2, .. }
    ));
    assert_eq!(fixture.entries(0), ["5.9.0.2/32", "5.9.0.9/32"]);
    fixture.update(2 * 86_400);
    assert_eq!(fixture.entries(0), ["5.9.0.9/32"]);
    let requests = server.requests();
    assert!(
        requests
            .iter()
            .all(|one| one.contains("accept: application/taxii+json;version=2.1\r\n")),
        "{requests:?}"
    );
    let first = "get /objects/?match%5btype%5d=indicator&limit=1000";
    let since = "&added_after=2026-01-01t00%3a00%3a02.000z";
    assert_eq!(
        paths(requests),
        [
            first.to_owned(),
            format!("{first}&next=a%20b"),
            format!("{first}{since}"),
            format!("{first}{since}"),
            first.to_owned(),
        ]
    );
}

#[test]
fn taxii_server_that_leads_in_a_circle_or_gives_something_else_is_refused() {
    let ok = |body: &str| answer("200 OK", "", body);
    let circle = "{\"more\":true,\"next\":\"x\",\"objects\":[]}";
    for (answers, said) in [
        (
            vec![ok(circle), ok(circle)],
            "does not say how to ask for it",
        ),
        (
            vec![ok("{\"more\":true}")],
            "does not say how to ask for it",
        ),
        (
            vec![ok("<html>log in</html>")],
            "page 1 is no answer of a TAXII 2.1 server",
        ),
        (
            vec![ok("{\"title\":\"denied\"}")],
            "page 1 is no answer of a TAXII 2.1 server",
        ),
        (
            vec![ok(circle), ok("")],
            "page 2 is no answer of a TAXII 2.1 server",
        ),
        (vec![answer("406 Not Acceptable", "", "")], "answers 406"),
    ] {
        let server = Server::new(answers);
        let fixture = Fixture::new(&server.url, Api::Taxii);
        let why = fixture.why(0);
        assert!(why.contains(said), "{said}: {why}");
        server.requests();
    }
}

#[test]
fn misp_is_searched_page_by_page() {
    let attribute = |number: usize| {
        format!(
            "{{\"type\":\"ip-dst\",\"to_ids\":true,\"value\":\"5.9.{}.{}\"}}",
            number / 256,
            number % 256
        )
    };
    let page = |numbers: std::ops::Range<usize>| {
        let attributes: Vec<String> = numbers.map(attribute).collect();
        let body = format!(
            "{{\"response\":{{\"Attribute\":[{}]}}}}",
            attributes.join(",")
        );
        answer("200 OK", "", body)
    };
    let server = Server::new(vec![
        page(0..5000),
        page(5000..5003),
        answer("200 OK", "", "{\"errors\":[]}"),
    ]);
    let fixture = Fixture::new(&server.url, Api::Misp);
    let Outcome::Updated { entries, .. } = fixture.update(0) else {
        panic!("it was refused")
    };
    assert_eq!(entries, 5003);
    let why = fixture.why(600);
    assert!(why.contains("no answer to a search of MISP"), "{why}");
    let requests = server.requests();
    assert!(
        requests[0].starts_with("post /attributes/restsearch "),
        "{requests:?}"
    );
    for (request, page) in requests.iter().zip(["\"page\":1", "\"page\":2"]) {
        assert!(request.contains(page), "{request}");
    }
}
