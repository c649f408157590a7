//! Which lists are believed, what is kept, and what is used when a list is not believed.

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::data::lists::sanity::{Doubt, Surroundings, doubts};
use crate::data::lists::store::{Head, Kept, Refused, Status, Store, StoreError};
use crate::data::lists::update::{Outcome, update};

/// A directory for the state and for lists.
struct Ground {
    place: tempfile::TempDir,
    store: Store,
}

impl Ground {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let store = Store::at(&place.path().join("state"));
        Self { place, store }
    }

    fn path(&self) -> std::path::PathBuf {
        self.place.path().join("list.txt")
    }

    fn write(&self, text: impl AsRef<[u8]>) {
        std::fs::write(self.path(), text).unwrap();
    }

    fn definition(&self) -> Definition {
        Definition {
            name: "bad".to_owned(),
            source: Source::File(self.path()),
            format: Format::Plain,
            action: Action::Block,
            direction: Direction::Both,
            expires: None,
        }
    }

    fn load(&self) -> Result<Loaded, LoadError> {
        load(&[self.definition()], &around(), &self.store, now())
    }

    /// Loads and keeps, as a filter does that goes by it.
    fn run(&self) -> Loaded {
        let mut loaded = self.load().unwrap();
        loaded.keep(&self.store).unwrap();
        loaded
    }

    fn update(&self, force: bool) -> Outcome {
        let quiet = &mut |_, _| {};
        update(
            &self.definition(),
            &around(),
            &self.store,
            force,
            now(),
            quiet,
        )
        .unwrap()
    }
}

fn now() -> u64 {
    crate::prepare::now()
}

fn around() -> Surroundings {
    Surroundings {
        management: vec!["9.9.0.0/16".parse().unwrap()],
        own: vec!["8.8.4.4".parse().unwrap(), "2a01:4f8::7".parse().unwrap()],
    }
}

/// So many addresses, a line each.
fn lines(count: u32) -> String {
    (0..count)
        .map(|number| format!("{}\n", std::net::Ipv4Addr::from(0x0509_0000 + 2 * number)))
        .collect()
}

fn prefixes(loaded: &Loaded) -> Vec<String> {
    let entries = loaded.listings[0].entries().iter();
    entries.map(|entry| entry.net.to_string()).collect()
}

#[test]
fn what_speaks_against_a_list() {
    let doubted = |text: &str, former| {
        let entries = read_as(Format::Plain, text).entries;
        let doubts = doubts(&entries, former, &around());
        doubts
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("; ")
    };
    for (text, former, said) in [
        ("# nothing", None, "there is no address on it"),
        ("5.9.0.1", Some(1), ""),
        (
            "5.9.0.1\n2a01:4f8::/64",
            None,
            "line 2: 2a01:4f8::/64 holds 2a01:4f8::7, an address of this machine",
        ),
        (
            "5.9.0.1\n10.0.0.0/8",
            None,
            "line 2: 10.0.0.0/8 is in special-use space (10.0.0.0/8)",
        ),
        (
            "192.168.1.1",
            None,
            "192.168.1.1/32 is in special-use space (192.168.0.0/16)",
        ),
        ("0.0.0.0/0", None, "special-use space"),
        ("::/0", None, "special-use space"),
        ("100.0.0.0/8", None, "(100.64.0.0/10)"),
        ("fe80::1", None, "(fe80::/10)"),
        ("::ffff:0:0/95", None, "special-use space"),
        // Addresses that carry an IPv4 address are somebody's.
        ("2002:509::/32", None, ""),
        (
            "9.9.9.9",
            None,
            "line 1: 9.9.9.9/32 is where this machine is managed from (`management` has 9.9.0.0/16)",
        ),
        ("9.0.0.0/8", None, "managed from"),
        (
            "8.8.4.0/24",
            None,
            "8.8.4.0/24 holds 8.8.4.4, an address of this machine",
        ),
        ("8.8.4.5\n8.8.4.3\n9.8.0.0/16\n9.10.0.0/16", None, ""),
    ] {
        let doubted = doubted(text, former);
        assert!(
            doubted.contains(said) && doubted.is_empty() == said.is_empty(),
            "{text}: {doubted}"
        );
    }
    assert_eq!(doubted(&lines(99), Some(10)), "");
    assert_eq!(
        doubted(&lines(100), Some(10)),
        "it has 100 entries, ten times as many as before (10) or more"
    );
    let all = doubted("10.0.0.0/8\n9.0.0.0/8\n8.0.0.0/8", Some(0));
    assert_eq!(all.matches("; ").count(), 2, "{all}");
}

#[test]
fn overlaps_are_found_wherever_the_prefix_begins() {
    let entries = read_as(Format::Plain, "5.9.0.0/16\n5.9.1.0/24\n5.11.0.1").entries;
    for (net, found) in [
        ("5.9.1.0/32", Some("5.9.1.0/24")),
        ("5.9.1.0/24", Some("5.9.1.0/24")),
        ("5.9.255.0/24", Some("5.9.0.0/16")),
        ("5.0.0.0/8", Some("5.9.0.0/16")),
        ("5.10.0.0/15", Some("5.11.0.1/32")),
        ("5.11.0.0/32", None),
        ("5.11.0.2/31", None),
        ("5.10.0.0/16", None),
        ("::/0", None),
    ] {
        let entry = entries.overlapping(net.parse().unwrap());
        assert_eq!(
            entry.map(|entry| entry.net.to_string()).as_deref(),
            found,
            "{net}"
        );
    }
}

#[test]
fn a_bad_file_leaves_the_last_good_one_in_use() {
    for bad in [
        "",
        "# nothing\n",
        "<html>login</html>",
        "10.0.0.0/8",
        "9.9.9.9",
        "8.8.4.4",
        "nonsense",
        &lines(30),
    ] {
        let ground = Ground::new();
        ground.write(lines(3));
        assert!(ground.run().warnings.is_empty());
        ground.write(bad);
        let loaded = ground.run();
        assert_eq!(
            prefixes(&loaded),
            ["5.9.0.0/32", "5.9.0.2/32", "5.9.0.4/32"],
            "{bad}"
        );
        let [warning] = loaded.warnings.as_slice() else {
            panic!("{bad}: {:?}", loaded.warnings)
        };
        assert!(
            warning.starts_with("the list bad is refused, and the last good one is used"),
            "{warning}"
        );
        assert!(
            warning.ends_with("geofence update bad --force"),
            "{warning}"
        );
        let report = &loaded.reports[0];
        assert_eq!((report.standing, report.entries), (Standing::LastGood, 3));
        let noted = ground.store.status("bad").unwrap().refused.unwrap();
        assert_eq!(Some(&noted), report.refused.as_ref());
        // A good one is believed at once, and what was said is forgotten.
        ground.write(lines(20));
        let loaded = ground.run();
        assert_eq!(
            (loaded.listings[0].entries().len(), loaded.warnings.len()),
            (20, 0)
        );
        assert_eq!(ground.store.status("bad").unwrap().refused, None);
        assert_eq!(ground.store.load("bad").unwrap().unwrap().head.entries, 20);
    }
}

#[test]
fn looking_changes_nothing() {
    let ground = Ground::new();
    ground.write(lines(3));
    ground.load().unwrap();
    ground.write("");
    let error = ground.load().unwrap_err().to_string();
    assert!(
        error.starts_with("the list bad cannot be used, and there is no good one from before:"),
        "{error}"
    );
    assert!(error.contains("list.txt: it is empty"), "{error}");
    assert!(!ground.place.path().join("state").exists());
}

#[test]
fn what_is_no_file_is_told_and_not_waited_for() {
    let ground = Ground::new();
    let error = ground.load().unwrap_err().to_string();
    assert!(
        error.contains("list.txt: there is no such file; check the path"),
        "{error}"
    );
    std::fs::create_dir(ground.path()).unwrap();
    assert!(
        ground
            .load()
            .unwrap_err()
            .to_string()
            .contains("no regular file")
    );
    std::fs::remove_dir(ground.path()).unwrap();
    nix::unistd::mkfifo(&ground.path(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(
        ground
            .load()
            .unwrap_err()
            .to_string()
            .contains("no regular file")
    );
}

#[test]
fn whoever_forces_a_list_is_believed_for_that_text() {
    let ground = Ground::new();
    ground.write("5.9.0.1");
    ground.run();
    ground.write("10.0.0.0/8");
    let Outcome::Refused {
        why,
        entries: Some(1),
    } = ground.update(false)
    else {
        panic!("special-use space was believed")
    };
    assert!(why.contains("special-use space"), "{why}");
    let updated = Outcome::Updated {
        entries: 1,
        before: Some(1),
    };
    assert_eq!(ground.update(true), updated);
    let loaded = ground.run();
    assert_eq!(
        (prefixes(&loaded), loaded.warnings.len()),
        (vec!["10.0.0.0/8".to_owned()], 0)
    );
    ground.write("172.16.0.0/12");
    let loaded = ground.run();
    assert_eq!(
        (prefixes(&loaded), loaded.warnings.len()),
        (vec!["10.0.0.0/8".to_owned()], 1)
    );
    // What is no list cannot be forced.
    ground.write("nonsense");
    assert!(matches!(ground.update(true), Outcome::Refused { .. }));
}

#[test]
fn entries_lapse_by_the_earlier_of_their_own_time_and_the_lists() {
    let ground = Ground::new();
    let mut definition = ground.definition();
    definition.format = Format::Ipset;
    definition.expires = Some(Duration::from_secs(1000));
    ground.write("add x 5.9.0.1 timeout 10\nadd x 5.9.0.2 timeout 2000\nadd x 5.9.0.3\n");
    let written = now();
    let at = |later: u64| {
        let loaded = load(
            std::slice::from_ref(&definition),
            &around(),
            &ground.store,
            written + later,
        );
        let loaded = loaded.unwrap();
        let listing = &loaded.listings[0];
        let next = listing
            .entries()
            .next_expiry()
            .map(|next| next.saturating_sub(written));
        (
            listing.entries().len(),
            loaded.reports[0].lapsed,
            next,
            loaded.warnings.len(),
        )
    };
    let near = |(entries, lapsed, next, warnings): (usize, usize, Option<u64>, usize)| {
        // The file is written within a second or two of the clock being read.
        (
            entries,
            lapsed,
            next.map(|next| next.div_ceil(10)),
            warnings,
        )
    };
    assert!(matches!(at(0), (3, 0, Some(9..=13), 0)), "{:?}", at(0));
    assert_eq!(near(at(100)), (2, 1, Some(100), 0));
    assert_eq!(at(1100), (0, 3, None, 1));
}

#[test]
fn a_list_with_a_url_is_what_was_kept() {
    let ground = Ground::new();
    let mut definition = ground.definition();
    definition.source = Source::Url("https://lists.example/bad".to_owned());
    let load = |definition: &Definition| {
        load(
            std::slice::from_ref(definition),
            &around(),
            &ground.store,
            now(),
        )
        .unwrap()
    };
    let loaded = load(&definition);
    assert_eq!(loaded.reports[0].standing, Standing::Absent);
    assert!(loaded.warnings[0].contains("was never fetched; until `geofence update bad`"));
    let kept = Kept {
        head: Head {
            source: "https://lists.example/bad".to_owned(),
            format: "plain".to_owned(),
            since: 1_000_000,
            entries: 1,
            ..Head::default()
        },
        text: b"5.9.0.1\n".to_vec(),
    };
    let lock = ground.store.lock().unwrap();
    ground.store.keep("bad", kept.clone()).unwrap();
    drop(lock);
    let loaded = load(&definition);
    assert_eq!(
        (prefixes(&loaded), loaded.warnings.len()),
        (vec!["5.9.0.1/32".to_owned()], 0)
    );
    let report = &loaded.reports[0];
    assert_eq!(
        (report.standing, report.since),
        (Standing::Current, Some(1_000_000))
    );
    let refused = Some(Refused {
        when: now(),
        why: "it is a web page".to_owned(),
    });
    let status = Status {
        confirmed: None,
        refused,
    };
    ground.store.note("bad", &status).unwrap();
    let loaded = load(&definition);
    assert_eq!(
        (prefixes(&loaded).len(), loaded.reports[0].standing),
        (1, Standing::LastGood)
    );
    assert!(
        loaded.warnings[0].ends_with("it is a web page"),
        "{:?}",
        loaded.warnings
    );
    ground.store.note("bad", &Status::default()).unwrap();
    definition.source = Source::Url("https://lists.example/other".to_owned());
    assert!(load(&definition).warnings[0].contains("is to come from https://lists.example/other"));
    // Damage is no list, and says so.
    let path = ground.store.path("bad");
    let mut bytes = std::fs::read(&path).unwrap();
    for at in [0, bytes.len() / 2, bytes.len() - 1] {
        bytes[at] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert!(
            matches!(ground.store.load("bad"), Err(StoreError::Damaged { .. })),
            "{at}"
        );
        let loaded = load(&definition);
        assert_eq!(loaded.reports[0].standing, Standing::Absent);
        assert!(
            loaded.warnings[0].contains("is damaged; remove it"),
            "{:?}",
            loaded.warnings
        );
        bytes[at] ^= 1;
    }
}

#[test]
fn what_was_good_may_be_doubted_later_and_is_used_all_the_same() {
    let ground = Ground::new();
    ground.write("9.8.0.1");
    let mut definition = ground.definition();
    assert!(matches!(
        ground.update(false),
        Outcome::Updated { before: None, .. }
    ));
    let kept = ground.store.load("bad").unwrap().unwrap();
    definition.source = Source::Url("https://lists.example/bad".to_owned());
    let head = Head {
        source: definition.source.to_string(),
        ..kept.head
    };
    ground
        .store
        .keep(
            "bad",
            Kept {
                head,
                text: kept.text,
            },
        )
        .unwrap();
    let around = Surroundings {
        management: vec!["9.8.0.0/16".parse().unwrap()],
        own: Vec::new(),
    };
    let loaded = load(&[definition], &around, &ground.store, now()).unwrap();
    assert_eq!(loaded.listings[0].entries().len(), 1);
    assert!(
        loaded.warnings[0].contains("would be refused today: line 1: 9.8.0.1/32"),
        "{:?}",
        loaded.warnings
    );
}

#[test]
fn this_machine_has_addresses() {
    let here = Surroundings::of_this_machine(&[]);
    assert!(
        here.own.iter().any(std::net::IpAddr::is_loopback),
        "{here:?}"
    );
    assert!(Path::new("/proc/self").exists());
    assert_eq!(doubts(&Entries::default(), None, &here), [Doubt::Empty]);
}
