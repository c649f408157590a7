//! Events in the journal: an entry each, with its parts as fields and a priority that says how bad it is.

use std::ffi::OsString;

use anyhow::{Context as _, Result, ensure};
use geofence_tests::daemon::{Daemon, binary};
use geofence_tests::edge::{LISTEN, PATIENCE};
use geofence_tests::frames::between;
use geofence_tests::journal::{Entry, Journal};
use geofence_tests::packet_socket::PacketSocket;
use geofence_tests::require_root;
use geofence_tests::site::{CONFIG, Site};
use geofence_tests::wait::poll;

use super::{BLOCKING, RUSSIAN, Seen};

const LISTED: &str = "84.200.69.80";

/// Starts a daemon that logs to a journal.
fn run(site: &Site, journal: &Journal) -> Result<Daemon> {
    let edge = &site.edge;
    let config = site.path(CONFIG);
    let mut words = journal.words();
    words.push(binary()?.into());
    words.extend(["run", "--interface", edge.interface(), "--config"].map(OsString::from));
    words.push(config.into());
    let mut command = edge.pair.edge.command(&words[0]);
    command.args(&words[1..]);
    let mut daemon = Daemon::spawn(&edge.pair.edge, command)?;
    daemon.wait_healthy(LISTEN.parse()?, PATIENCE)?;
    Ok(daemon)
}

#[test]
fn events_are_entries_of_the_journal_with_fields_and_priorities() -> Result<()> {
    require_root!();
    let journal = Journal::new()?;
    let site = Site::new(&format!(
        "{BLOCKING}listen = \"{LISTEN}\"\ndrop-events = true\n[[list]]\nname = \"c2\"\nfile = \"c2.txt\"\n\
         format = \"plain\"\naction = \"block\"\ndirection = \"both\"\n"
    ))?;
    site.write("c2.txt", format!("{LISTED}\n"))?;
    let daemon = run(&site, &journal)?;
    let pair = &site.edge.pair;
    let outside = PacketSocket::open(&pair.peer, &pair.peer_interface)?;
    let seen = Seen {
        site,
        daemon,
        outside,
    };
    seen.wait_observed(1.0)?;
    seen.send(RUSSIAN, 22, 1)?;
    // Our side calls the listed address.
    let pair = &seen.site.edge.pair;
    let inside = PacketSocket::open(&pair.edge, &pair.edge_interface)?;
    let frame = between(pair.edge_addresses()[0], LISTED.parse()?).tcp(40_000, 443);
    // The filter drops it, and the kernel reports that as an error.
    let _ = inside.send_once(&frame.syn().build());

    let mut entries = Vec::new();
    let find = |entries: &[Entry], field: &str, value: &str| {
        let is_it = |entry: &&Entry| entry.get(field).is_some_and(|found| found == value);
        entries.iter().find(is_it).cloned()
    };
    let both = poll(PATIENCE, || {
        entries.extend(journal.entries()?);
        let dropped = find(&entries, "F_EVENT_REASON", "country_blocked");
        Ok(dropped.zip(find(&entries, "F_EVENT_LIST", "c2")))
    })?;
    let (dropped, listed) = both.with_context(|| format!("{entries:?}"))?;
    for (entry, expected) in [
        (
            &dropped,
            &[
                ("PRIORITY", "6"),
                ("F_EVENT_KIND", "drop"),
                ("F_EVENT_ACTION", "drop"),
                ("F_EVENT_COUNTRY", "RU"),
                ("F_EVENT_SRC", RUSSIAN),
                ("F_EVENT_DST_PORT", "22"),
            ],
        ),
        (
            &listed,
            &[
                ("PRIORITY", "4"),
                ("F_EVENT_KIND", "list"),
                ("F_EVENT_DIRECTION", "out"),
                ("F_EVENT_ACTION", "drop"),
                ("F_EVENT_DST", LISTED),
                ("F_EVENT_DST_PORT", "443"),
            ],
        ),
    ] {
        for (field, value) in expected {
            ensure!(
                entry.get(*field).is_some_and(|found| found == value),
                "{field} is not {value}: {entry:?}"
            );
        }
    }
    let line = &dropped["MESSAGE"];
    ensure!(
        line.starts_with("event: drop country_blocked: 77.88.8.8:1024 -> "),
        "{line}"
    );
    Ok(())
}
