//! Drops that a client follows, and frames that a client captures: exact counts, filters, and an end to it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use geofence_tests::counters::Counters;
use geofence_tests::daemon::{Daemon, geofence};
use geofence_tests::edge::PATIENCE;
use geofence_tests::frames::between;
use geofence_tests::packet_socket::PacketSocket;
use geofence_tests::require_root;
use geofence_tests::site::{CONFIG, Site};
use geofence_tests::wait::poll;
use nix::sys::signal::Signal;
use serde_json::Value;

#[path = "observe/capture.rs"]
mod capture;
#[path = "observe/journal.rs"]
mod journal;
#[path = "observe/sinks.rs"]
mod sinks;
#[path = "observe/syslog_tls.rs"]
mod syslog_tls;
#[path = "observe/systems.rs"]
mod systems;

const BLOCKING: &str = "block = [\"RU\", \"CN\"]\ndeny = [\"198.51.100.0/24\"]\n";
const RUSSIAN: &str = "77.88.8.8";
const CHINESE: &str = "114.114.114.114";
const DENIED: &str = "198.51.100.7";
const OPEN: &str = "8.8.8.8";
const ON: &str = "packets are observed from now on";
const OFF: &str = "packets are no longer observed";

/// A machine by this configuration, its daemon, and a socket that sends from outside.
struct Seen {
    site: Site,
    daemon: Daemon,
    outside: PacketSocket,
}

impl Seen {
    fn new(config: &str) -> Result<Self> {
        Self::of(Site::new(config)?)
    }

    fn of(site: Site) -> Result<Self> {
        let daemon = site.run(&[])?;
        let pair = &site.edge.pair;
        let outside = PacketSocket::open(&pair.peer, &pair.peer_interface)?;
        Ok(Self {
            site,
            daemon,
            outside,
        })
    }

    /// Openings of connections from this address to this port.
    fn openings(&self, source: &str, port: u16, count: u16) -> Result<Vec<Vec<u8>>> {
        let source: IpAddr = source.parse()?;
        let here = self.site.edge.pair.edge_address_for(source);
        Ok((0..count)
            .map(|number| between(source, here).tcp(1024 + number, port).syn().build())
            .collect())
    }

    fn send(&self, source: &str, port: u16, count: u16) -> Result<()> {
        self.outside.send_many(&self.openings(source, port, count)?)
    }

    /// Starts `geofence events --follow --json` with further words, and waits until drops are sampled.
    fn follow(&mut self, words: &[&str]) -> Result<Daemon> {
        let edge = &self.site.edge.pair.edge;
        let mut command = geofence(edge)?;
        command.args(["events", "--follow", "--json"]).args(words);
        let follower = Daemon::spawn(edge, command)?;
        self.wait_observed(1.0)?;
        Ok(follower)
    }

    fn wait_observed(&self, expected: f64) -> Result<()> {
        self.wait_metric("geofence_observed", expected)
    }

    fn wait_metric(&self, series: &str, expected: f64) -> Result<()> {
        let mut last = 0.0;
        let seen = poll(PATIENCE, || {
            last = self.site.edge.metric(series)?;
            Ok((last == expected).then_some(()))
        })?;
        seen.with_context(|| format!("{series} is {last}, not {expected}"))
    }

    fn counters(&self) -> Result<Counters> {
        Counters::parse(&self.site.edge.get("/metrics")?.body)
    }

    /// Samples that were sent and that were not, by reason.
    fn samples(&self, reason: &str) -> Result<[f64; 2]> {
        let of = |name: &str| {
            self.site
                .edge
                .metric(&format!("{name}{{reason=\"{reason}\"}}"))
        };
        Ok([
            of("geofence_drop_samples_total")?,
            of("geofence_drop_samples_lost_total")?,
        ])
    }

    /// Waits for a line of the daemon's log.
    fn wait_line(&mut self, text: &str) -> Result<()> {
        self.daemon.wait_line(text, PATIENCE).map(drop)
    }
}

fn events(follower: &Daemon) -> Result<Vec<Value>> {
    let text = follower.stdout();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let lines = whole.lines();
    lines
        .map(|line| serde_json::from_str(line).context("its JSON"))
        .collect()
}

#[test]
fn every_drop_is_sent_or_counted_as_not_sent() -> Result<()> {
    require_root!();
    const LISTED: &str = "84.200.69.80";
    let list = "[[list]]\nname = \"c2\"\nfile = \"c2.txt\"\nformat = \"plain\"\n";
    let site = Site::new(&format!("{BLOCKING}{list}"))?;
    site.write("c2.txt", format!("{LISTED}\n"))?;
    let mut seen = Seen::of(site)?;
    // What came before is not sampled.
    seen.send(RUSSIAN, 22, 50)?;
    seen.wait_metric(
        "geofence_packets_total{interface=\"edge0\",country=\"RU\",action=\"drop\",reason=\"country_blocked\"}",
        50.0,
    )?;
    ensure!(seen.samples("country_blocked")? == [0.0, 0.0]);
    let mut follower = seen.follow(&[])?;
    let before = seen.counters()?;

    // A flood for two reasons, list events in the middle of it, and little for a third reason.
    const FLOOD: u16 = 20_000;
    seen.send(RUSSIAN, 22, FLOOD)?;
    seen.send(LISTED, 443, 3)?;
    seen.send(CHINESE, 3389, FLOOD)?;
    seen.send(DENIED, 443, 30)?;
    seen.send(OPEN, 443, 100)?;
    let dropped = || -> Result<BTreeMap<String, u64>> {
        let mut dropped = BTreeMap::new();
        for (labels, packets, _) in seen.counters()?.since(&before) {
            if labels.action == "drop" {
                *dropped.entry(labels.reason).or_default() += packets;
            }
        }
        Ok(dropped)
    };
    let all = u64::from(FLOOD) * 2 + 33;
    let whole = poll(PATIENCE, || {
        let dropped = dropped()?;
        Ok((dropped.values().sum::<u64>() == all).then_some(dropped))
    })?;
    let dropped = whole.with_context(|| format!("not {all} drops: {:?}", dropped()))?;
    ensure!(dropped["denied"] == 33, "{dropped:?}");
    let mut sent_in_all = 0.0;
    for (reason, dropped) in &dropped {
        let [sent, lost] = seen.samples(reason)?;
        ensure!(
            sent + lost == *dropped as f64,
            "{reason}: {sent} sent and {lost} not are not {dropped}"
        );
        ensure!(sent > 0.0, "{reason}: none was sent");
        sent_in_all += sent;
    }
    let [sent, lost] = seen.samples("denied")?;
    ensure!(
        [sent, lost] == [33.0, 0.0],
        "{sent} and {lost}: there is room for a hundred at once"
    );
    let [_, lost] = seen.samples("country_blocked")?;
    ensure!(
        lost > f64::from(FLOOD),
        "the flood is not bounded: {lost} were not sent"
    );

    // The follower has each that was sent, and the list events.
    let of_kind =
        |events: &[Value], kind: &str| events.iter().filter(|one| one["event"] == kind).count();
    let shown = poll(PATIENCE, || {
        let events = events(&follower)?;
        let is_whole =
            of_kind(&events, "drop") as f64 == sent_in_all && of_kind(&events, "list") == 3;
        Ok(is_whole.then_some(events))
    })?;
    let shown = shown.with_context(|| {
        let events = events(&follower).unwrap_or_default();
        format!(
            "{} drops of {sent_in_all}, {} list events",
            of_kind(&events, "drop"),
            of_kind(&events, "list")
        )
    })?;
    let of = |source: &str| {
        shown
            .iter()
            .find(|one| one["src"] == source && one["event"] == "drop")
    };
    let russian = of(RUSSIAN).context("one from Russia")?;
    for (key, expected) in [
        ("reason", "country_blocked"),
        ("country", "RU"),
        ("action", "drop"),
        ("direction", "in"),
        ("interface", "edge0"),
        ("protocol", "tcp"),
        ("tcp_flags", "SYN"),
    ] {
        ensure!(russian[key] == expected, "{key}: {russian}");
    }
    ensure!(
        russian["dst_port"] == 22 && russian["length"] == 54,
        "{russian}"
    );
    let listed = of(LISTED).context("one of the list")?;
    ensure!(
        listed["list"] == "c2" && listed["reason"] == "denied",
        "{listed}"
    );
    ensure!(of(OPEN).is_none(), "what passes is no drop");

    // It ends soon after the follower has.
    follower.signal(Signal::SIGKILL)?;
    seen.wait_line(OFF)?;
    seen.wait_observed(0.0)?;
    let before = seen.samples("country_blocked")?;
    seen.send(RUSSIAN, 22, 50)?;
    let counted = u64::from(FLOOD) * 2 + 100;
    let of = |counters: Counters| counters.of("drop", Some("country_blocked"));
    let all = poll(PATIENCE, || {
        Ok((of(seen.counters()?) == counted).then_some(()))
    })?;
    ensure!(all.is_some(), "{} drops of {counted}", of(seen.counters()?));
    ensure!(
        seen.samples("country_blocked")? == before,
        "sampled without a follower"
    );
    Ok(())
}

#[test]
fn follower_sees_what_its_conditions_name() -> Result<()> {
    require_root!();
    let mut seen = Seen::new(BLOCKING)?;
    let follower = seen.follow(&["--country", "cn", "--port", "3389", "--dst", "192.0.2.0/24"])?;
    seen.send(RUSSIAN, 3389, 5)?;
    seen.send(CHINESE, 22, 5)?;
    seen.send(CHINESE, 3389, 5)?;
    let shown = poll(PATIENCE, || {
        let events = events(&follower)?;
        Ok((events.len() == 5).then_some(events))
    })?;
    let shown = shown.with_context(|| format!("not five: {:?}", events(&follower)))?;
    ensure!(
        shown
            .iter()
            .all(|one| one["src"] == CHINESE && one["dst_port"] == 3389)
    );
    let answer = seen
        .site
        .edge
        .ask(&["events", "--reason", "country_blocekd"])?;
    ensure!(
        answer.code == Some(2) && answer.stderr.contains("country_blocked"),
        "{answer:?}"
    );
    Ok(())
}

#[test]
fn following_goes_on_over_a_reload_and_an_upgrade() -> Result<()> {
    require_root!();
    let mut seen = Seen::new(BLOCKING)?;
    let follower = seen.follow(&[])?;
    let sources = |follower: &Daemon| -> Result<Vec<String>> {
        let events = events(follower)?.into_iter();
        Ok(events
            .map(|one| one["src"].as_str().unwrap_or_default().to_owned())
            .collect())
    };
    let wait = |source: &str| -> Result<()> {
        let found = poll(PATIENCE, || {
            let sources = sources(&follower)?;
            Ok(sources.iter().any(|one| one == source).then_some(()))
        })?;
        found.with_context(|| format!("no event of {source}: {:?}", sources(&follower)))
    };
    seen.send(RUSSIAN, 22, 1)?;
    wait(RUSSIAN)?;
    // The next image is observed from its first packet on.
    seen.site
        .configure(&format!("{BLOCKING}management = [\"192.0.2.99\"]\n"))?;
    seen.site.done(&["reload"])?;
    seen.send(CHINESE, 22, 1)?;
    wait(CHINESE)?;
    // A trial, and its end, too.
    let trial = seen.site.path("trial.toml");
    std::fs::write(&trial, "block = [\"US\"]\n")?;
    let trial = seen.site.word("trial.toml")?;
    seen.site
        .done(&["apply", &trial, "--confirm-within", "1h"])?;
    seen.send(OPEN, 22, 1)?;
    wait(OPEN)?;
    seen.site.done(&["revert"])?;
    seen.send("77.88.8.1", 22, 1)?;
    wait("77.88.8.1")?;
    // A follower of an ended daemon says so. The filter that the daemon leaves behind is observed no longer, and
    // neither is that of the next daemon until a client asks.
    seen.daemon.signal(Signal::SIGTERM)?;
    let ended = follower.wait(PATIENCE)?;
    ensure!(ended.status.code() == Some(2), "{ended:?}");
    seen.daemon = seen.site.run(&[])?;
    seen.wait_observed(0.0)?;
    let follower = seen.follow(&[])?;
    seen.send(RUSSIAN, 22, 1)?;
    let found = poll(PATIENCE, || {
        Ok((events(&follower)?.len() == 1).then_some(()))
    })?;
    ensure!(found.is_some(), "{:?}", events(&follower));
    Ok(())
}

/// More than the five seconds for which a follower is remembered.
const LONGER_THAN_A_LEASE: Duration = Duration::from_secs(20);

#[test]
fn observation_ends_with_its_follower_and_is_no_part_of_the_policy() -> Result<()> {
    require_root!();
    let mut seen = Seen::new(BLOCKING)?;
    let follower = seen.follow(&[])?;
    let config = seen.site.word(CONFIG)?;
    let diff = seen.site.json(&["diff", &config])?;
    ensure!(
        diff["equal"] == true,
        "that it is observed is no difference of policy: {diff}"
    );
    drop(follower);
    seen.daemon.wait_line(OFF, LONGER_THAN_A_LEASE)?;
    let log = seen.daemon.stderr();
    ensure!(
        log.matches(ON).count() == 1 && log.matches(OFF).count() == 1,
        "{log}"
    );
    seen.site.configure(&format!(
        "{BLOCKING}drop-events = true\ndrop-event-rate = 5\n"
    ))?;
    seen.site.done(&["reload"])?;
    seen.wait_observed(1.0)?;
    seen.send(RUSSIAN, 22, 1000)?;
    let [sent, lost] = {
        let whole = poll(PATIENCE, || {
            let [sent, lost] = seen.samples("country_blocked")?;
            Ok((sent + lost == 1000.0).then_some([sent, lost]))
        })?;
        whole.context("a thousand were not counted")?
    };
    ensure!(
        (5.0..100.0).contains(&sent),
        "{sent} sent and {lost} not at five a second"
    );
    seen.daemon
        .wait_line("event: drop country_blocked", PATIENCE)?;
    Ok(())
}
