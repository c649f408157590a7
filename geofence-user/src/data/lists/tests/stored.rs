//! What is stored of a list, and what is used when its source gives something bad.

use std::time::Duration;

use super::samples::*;
use crate::data::lists::store::{
    Rejection, SourceStatus, Store, StoreError, StoredHeader, StoredList,
};
use crate::data::lists::{
    ListState, LoadError, Loaded, LocalAddresses, UpdateOptions, UpdateOutcome as Outcome, load,
    update,
};
use crate::model::list::{Action, Api, Definition, Direction, Format, Source, SpecialUseEntries};
use crate::model::secret::Access;
use crate::model::shortfall::{Part, Tolerance};
use crate::model::units::UnixSeconds;

/// A directory for the store and for one list.
pub(super) struct Fixture {
    directory: tempfile::TempDir,
    store: Store,
}

impl Fixture {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::at(&directory.path().join("state"));
        Self { directory, store }
    }

    fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("list.txt")
    }

    pub(super) fn write(&self, text: impl AsRef<[u8]>) {
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
            special_use: SpecialUseEntries::Refuse,
            max_share: None,
            api: Api::None,
            access: Access::default(),
        }
    }

    fn load(&self) -> Result<Loaded, LoadError> {
        load(
            &[self.definition()],
            &local(),
            &self.store,
            now(),
            Tolerance::Nothing,
        )
    }

    /// Loads and stores, as a filter does that uses the list.
    pub(super) fn run(&self) -> Loaded {
        let mut loaded = self.load().unwrap();
        loaded.save(&self.store).unwrap();
        loaded
    }

    fn update(&self, force: bool) -> Outcome {
        let quiet = &mut |_, _| {};
        update(
            &self.definition(),
            &local(),
            &self.store,
            UpdateOptions {
                force,
                is_named: true,
            },
            now(),
            quiet,
        )
        .unwrap()
    }
}

fn now() -> UnixSeconds {
    UnixSeconds::now()
}

fn prefixes(loaded: &Loaded) -> Vec<String> {
    let entries = loaded.listings[0].entries().iter();
    entries.map(|entry| entry.net.to_string()).collect()
}

#[test]
fn bad_file_leaves_the_last_good_text_active() {
    for (bad, is_acceptable) in [
        ("<html>login</html>", false),
        ("10.0.0.0/8", true),
        ("9.9.9.9", true),
        ("8.8.4.4", true),
        ("nonsense", false),
        (lines(30).as_str(), true),
    ] {
        let fixture = Fixture::new();
        fixture.write(lines(3));
        assert!(fixture.run().warnings.is_empty());
        fixture.write(bad);
        let loaded = fixture.run();
        assert_eq!(
            prefixes(&loaded),
            ["5.9.0.0/32", "5.9.0.2/32", "5.9.0.4/32"],
            "{bad}"
        );
        let [warning] = loaded.warnings.as_slice() else {
            panic!("{bad}: {:?}", loaded.warnings)
        };
        assert!(
            warning.starts_with("the list bad is rejected, and its last good text is used"),
            "{warning}"
        );
        let is_advised = warning.ends_with("geofence update bad --force");
        assert_eq!(is_advised, is_acceptable, "{warning}");
        let report = &loaded.reports[0];
        assert_eq!((report.state, report.entries), (ListState::LastGood, 3));
        let stored = fixture.store.status("bad").unwrap().refused.unwrap();
        assert_eq!(Some(&stored), report.rejection.as_ref());
        // A good text is accepted at once, and the rejection is cleared.
        fixture.write(lines(20));
        let loaded = fixture.run();
        assert_eq!(
            (loaded.listings[0].entries().len(), loaded.warnings.len()),
            (20, 0)
        );
        assert_eq!(fixture.store.status("bad").unwrap().refused, None);
        assert_eq!(
            fixture.store.load("bad").unwrap().unwrap().header.entries,
            20
        );
    }
}

#[test]
fn own_file_without_entries_is_an_empty_list() {
    for empty in ["", "\n", "\u{feff}\n", "# nothing left\n"] {
        let fixture = Fixture::new();
        fixture.write(lines(3));
        assert_eq!(prefixes(&fixture.run()).len(), 3);
        fixture.write(empty);
        let loaded = fixture.run();
        assert!(prefixes(&loaded).is_empty(), "{empty:?}");
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
        assert_eq!(loaded.reports[0].shortfall(), None);
        // The empty list is what there is to fall back on.
        fixture.write("nonsense\n");
        let loaded = fixture.run();
        assert!(prefixes(&loaded).is_empty(), "{empty:?}");
        let shortfall = loaded.reports[0].shortfall().unwrap();
        assert_eq!(loaded.warnings, [shortfall.text]);
    }
}

#[test]
fn load_writes_nothing() {
    let fixture = Fixture::new();
    fixture.write(lines(3));
    fixture.load().unwrap();
    fixture.write("nonsense");
    let error = fixture.load().unwrap_err().to_string();
    assert!(
        error.starts_with("the list bad cannot be used, and no earlier good text of it is stored:"),
        "{error}"
    );
    assert!(error.contains("list.txt, line 1: `nonsense`"), "{error}");
    assert!(!fixture.directory.path().join("state").exists());
}

#[test]
fn list_that_is_tolerated_is_empty_and_named_until_its_text_can_be_used() {
    let fixture = Fixture::new();
    let tolerant = || {
        let tolerance = Tolerance::Lists;
        load(
            &[fixture.definition()],
            &local(),
            &fixture.store,
            now(),
            tolerance,
        )
    };
    for text in ["0.0.0.0/0\n", "nonsense\n"] {
        fixture.write(text);
        let loaded = tolerant().unwrap();
        assert!(prefixes(&loaded).is_empty(), "{text:?}");
        assert_eq!(loaded.reports[0].state, ListState::Unusable);
        assert!(loaded.shortfalls[0].is_of(Part::List, "bad"), "{text:?}");
        let said = &loaded.shortfalls[0].text;
        assert!(said.starts_with("THE LIST bad IS EMPTY"), "{said}");
    }
    fixture.write("5.9.0.1\n");
    let loaded = tolerant().unwrap();
    assert_eq!(prefixes(&loaded), ["5.9.0.1/32"]);
    assert!(loaded.shortfalls.is_empty());
    assert_eq!(loaded.reports[0].state, ListState::Current);
}

#[test]
fn path_that_is_not_a_regular_file_is_an_error_at_once() {
    let fixture = Fixture::new();
    let error = fixture.load().unwrap_err().to_string();
    assert!(
        error.contains("list.txt: there is no such file; check the path"),
        "{error}"
    );
    std::fs::create_dir(fixture.path()).unwrap();
    assert!(
        fixture
            .load()
            .unwrap_err()
            .to_string()
            .contains("not a regular file")
    );
    std::fs::remove_dir(fixture.path()).unwrap();
    nix::unistd::mkfifo(&fixture.path(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(
        fixture
            .load()
            .unwrap_err()
            .to_string()
            .contains("not a regular file")
    );
}

#[test]
fn forced_text_is_accepted_and_later_ones_are_not() {
    let fixture = Fixture::new();
    fixture.write("5.9.0.1");
    fixture.run();
    fixture.write("10.0.0.0/8");
    let Outcome::Rejected {
        why,
        entries: Some(1),
    } = fixture.update(false)
    else {
        panic!("special-use space was accepted")
    };
    assert!(why.contains("special-use space"), "{why}");
    let updated = Outcome::Updated {
        entries: 1,
        before: Some(1),
    };
    assert_eq!(fixture.update(true), updated);
    let loaded = fixture.run();
    assert_eq!(
        (prefixes(&loaded), loaded.warnings.len()),
        (vec!["10.0.0.0/8".to_owned()], 0)
    );
    fixture.write("172.16.0.0/12");
    let loaded = fixture.run();
    assert_eq!(
        (prefixes(&loaded), loaded.warnings.len()),
        (vec!["10.0.0.0/8".to_owned()], 1)
    );
    // A text that is not a list cannot be forced.
    fixture.write("nonsense");
    assert!(matches!(fixture.update(true), Outcome::Rejected { .. }));
}

#[test]
fn entry_expires_at_the_earlier_of_its_own_time_and_the_lists() {
    let fixture = Fixture::new();
    let mut definition = fixture.definition();
    definition.format = Format::Ipset;
    definition.expires = Some(Duration::from_secs(1000));
    fixture.write("add x 5.9.0.1 timeout 10\nadd x 5.9.0.2 timeout 2000\nadd x 5.9.0.3\n");
    let written = now();
    let at = |later: u64| {
        let loaded = load(
            std::slice::from_ref(&definition),
            &local(),
            &fixture.store,
            written.plus(Duration::from_secs(later)),
            Tolerance::Nothing,
        );
        let loaded = loaded.unwrap();
        let listing = &loaded.listings[0];
        let next = listing
            .entries()
            .next_expiry()
            .map(|next| next.since(written).as_secs());
        (
            listing.entries().len(),
            loaded.reports[0].expired,
            next,
            loaded.warnings.len(),
        )
    };
    let near = |(entries, expired, next, warnings): (usize, usize, Option<u64>, usize)| {
        // The file is written within a second or two of the clock being read.
        (
            entries,
            expired,
            next.map(|next| next.div_ceil(10)),
            warnings,
        )
    };
    assert!(matches!(at(0), (3, 0, Some(9..=13), 0)), "{:?}", at(0));
    assert_eq!(near(at(100)), (2, 1, Some(100), 0));
    assert_eq!(at(1100), (0, 3, None, 1));
}

#[test]
fn list_with_a_url_is_read_from_the_store() {
    let fixture = Fixture::new();
    let mut definition = fixture.definition();
    definition.source = Source::Url("https://lists.example/bad".to_owned());
    let load = |definition: &Definition| {
        load(
            std::slice::from_ref(definition),
            &local(),
            &fixture.store,
            now(),
            Tolerance::Nothing,
        )
        .unwrap()
    };
    let loaded = load(&definition);
    assert_eq!(loaded.reports[0].state, ListState::Absent);
    assert!(
        loaded.warnings[0].contains("was never fetched; it is empty until `geofence update bad`")
    );
    let stored = StoredList {
        header: StoredHeader {
            source: "https://lists.example/bad".to_owned(),
            format: "plain".to_owned(),
            since: UnixSeconds(1_000_000),
            entries: 1,
            ..StoredHeader::default()
        },
        text: b"5.9.0.1\n".to_vec(),
    };
    let lock = fixture.store.lock().unwrap();
    fixture.store.save("bad", stored).unwrap();
    drop(lock);
    let loaded = load(&definition);
    assert_eq!(
        (prefixes(&loaded), loaded.warnings.len()),
        (vec!["5.9.0.1/32".to_owned()], 0)
    );
    let report = &loaded.reports[0];
    assert_eq!(
        (report.state, report.since),
        (ListState::Current, Some(UnixSeconds(1_000_000)))
    );
    let refused = Some(Rejection {
        when: now(),
        why: "it is a web page".to_owned(),
    });
    let status = SourceStatus {
        refused,
        ..SourceStatus::default()
    };
    fixture.store.save_status("bad", &status).unwrap();
    let loaded = load(&definition);
    assert_eq!(
        (prefixes(&loaded).len(), loaded.reports[0].state),
        (1, ListState::LastGood)
    );
    assert!(
        loaded.warnings[0].ends_with("it is a web page"),
        "{:?}",
        loaded.warnings
    );
    fixture
        .store
        .save_status("bad", &SourceStatus::default())
        .unwrap();
    definition.source = Source::Url("https://lists.example/other".to_owned());
    assert!(
        load(&definition).warnings[0].contains("its source is now https://lists.example/other")
    );
    // A damaged text is not used.
    let path = fixture.store.path("bad");
    let mut bytes = std::fs::read(&path).unwrap();
    for at in [0, bytes.len() / 2, bytes.len() - 1] {
        bytes[at] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert!(
            matches!(fixture.store.load("bad"), Err(StoreError::Damaged { .. })),
            "{at}"
        );
        let loaded = load(&definition);
        assert_eq!(loaded.reports[0].state, ListState::Absent);
        assert!(
            loaded.warnings[0].contains("is damaged; remove it"),
            "{:?}",
            loaded.warnings
        );
        bytes[at] ^= 1;
    }
}

#[test]
fn stored_text_that_fails_a_later_check_stays_active_with_a_warning() {
    let fixture = Fixture::new();
    fixture.write("9.8.0.1");
    let mut definition = fixture.definition();
    assert!(matches!(
        fixture.update(false),
        Outcome::Updated { before: None, .. }
    ));
    let stored = fixture.store.load("bad").unwrap().unwrap();
    definition.source = Source::Url("https://lists.example/bad".to_owned());
    let header = StoredHeader {
        source: definition.source.to_string(),
        ..stored.header
    };
    fixture
        .store
        .save(
            "bad",
            StoredList {
                header,
                text: stored.text,
            },
        )
        .unwrap();
    let local = LocalAddresses {
        management: vec!["9.8.0.0/16".parse().unwrap()],
        ..LocalAddresses::default()
    };
    let loaded = load(
        &[definition],
        &local,
        &fixture.store,
        now(),
        Tolerance::Nothing,
    )
    .unwrap();
    assert_eq!(loaded.listings[0].entries().len(), 1);
    assert!(
        loaded.warnings[0].contains("would be rejected today: line 1: 9.8.0.1/32"),
        "{:?}",
        loaded.warnings
    );
}
