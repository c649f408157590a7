//! Packets from a blocked country that pass as mail or for another exempted service, counted by that service: to the
//! packet, across restarts and reloads, and never under the name of another.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::{Context as _, Result, ensure};
use geofence_tests::counters::Counters;
use geofence_tests::edge::PATIENCE;
use geofence_tests::frames::between;
use geofence_tests::packet_socket::PacketSocket;
use geofence_tests::probe::exchange;
use geofence_tests::require_root;
use geofence_tests::site::{RUSSIAN, Site};
use nix::sys::signal::Signal;

/// Mail on its seven ports, a port, a range, and echo requests.
const CONFIG: &str = r#"
block = ["RU"]
services = ["tcp/443", "udp/5000-5010"]
icmp-echo = "pass"
"#;
/// The seven mail ports, the two services, echo requests, and `other`.
const SERIES: usize = 11;
const NAME: &str = "geofence_service_packets_total{service=\"";

/// A machine, and both ends of its link.
struct Services {
    site: Site,
    outside: PacketSocket,
    inside: PacketSocket,
}

/// What a packet from Russia is for.
#[derive(Clone, Copy)]
enum To {
    Tcp(u16),
    Udp(u16),
    Echo,
    /// An ICMP error about a packet that the service on this port sent.
    ErrorAbout(u16),
}

impl Services {
    fn new(config: &str) -> Result<Self> {
        let site = Site::new(config)?;
        let pair = &site.edge.pair;
        Ok(Self {
            outside: PacketSocket::open(&pair.peer, &pair.peer_interface)?,
            inside: PacketSocket::open(&pair.edge, &pair.edge_interface)?,
            site,
        })
    }

    /// Sends so many packets to each of these.
    fn send(&self, what: &[(To, usize)]) -> Result<()> {
        let from: IpAddr = RUSSIAN.parse()?;
        let ours = self.site.edge.pair.edge_address_for(from);
        let frames = what.iter().flat_map(|(to, count)| {
            let frame = between(from, ours);
            let frame = match to {
                To::Tcp(port) => frame.tcp(40_000, *port).syn().build(),
                To::Udp(port) => frame.udp(40_000, *port).build(),
                To::Echo => frame.icmp(8, 0).build(),
                To::ErrorAbout(port) => {
                    let quoted = between(ours, from).tcp(*port, 40_000).build();
                    frame.icmp(3, 1).payload(&quoted[14..]).build()
                }
            };
            std::iter::repeat_n(frame, *count)
        });
        let frames: Vec<_> = frames.collect();
        exchange(&self.outside, &self.inside, &frames, PATIENCE)?;
        Ok(())
    }

    /// The series of services. Together they are what passed as mail and for services, unless `lost` of those packets
    /// were for services that have left the configuration.
    fn counts(&self, lost: u64) -> Result<BTreeMap<String, u64>> {
        let text = self.site.edge.get("/metrics")?.body;
        let series = text.lines().filter_map(|line| line.strip_prefix(NAME));
        let series = series.map(|line| {
            let (name, value) = line.split_once("\"} ").context(line.to_owned())?;
            Ok((name.to_owned(), value.parse()?))
        });
        let counts: BTreeMap<String, u64> = series.collect::<Result<_>>()?;
        let all = Counters::parse(&text)?;
        let passed = ["mail", "service"].map(|reason| all.of("pass", Some(reason)));
        let sum: u64 = counts.values().sum();
        ensure!(
            sum + lost == passed.iter().sum::<u64>(),
            "{counts:?} and {lost} are not {passed:?}"
        );
        Ok(counts)
    }

    /// Checks the series that are not zero.
    fn ensure_counted(&self, lost: u64, expected: &[(&str, u64)]) -> Result<()> {
        let mut counts = self.counts(lost)?;
        counts.retain(|_, packets| *packets != 0);
        let expected = expected
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count));
        let expected: BTreeMap<_, _> = expected.collect();
        ensure!(counts == expected, "{counts:?}, not {expected:?}");
        Ok(())
    }

    fn reload(&self, config: &str) -> Result<()> {
        self.site.configure(config)?;
        self.site.done(&["reload"])?;
        Ok(())
    }
}

#[test]
fn each_service_has_its_own_count_from_the_first_scrape_and_keeps_it_over_a_restart() -> Result<()>
{
    require_root!();
    let services = Services::new(CONFIG)?;
    let mut daemon = services.site.run(&[])?;
    let first = services.counts(0)?;
    ensure!(
        first.len() == SERIES && first.values().all(|count| *count == 0),
        "{first:?}"
    );
    let sent = [
        (To::Tcp(25), 3),
        (To::Tcp(993), 5),
        (To::Tcp(443), 2),
        (To::Udp(5000), 1),
        (To::Udp(5007), 4),
        (To::Echo, 6),
        // None of these passes for a service.
        (To::Udp(443), 7),
        (To::Tcp(5000), 7),
        (To::Udp(5011), 7),
        (To::ErrorAbout(25), 7),
    ];
    let counted = [
        ("tcp/25", 3),
        ("tcp/993", 5),
        ("tcp/443", 2),
        ("udp/5000-5010", 5),
        ("icmp/echo", 6),
    ];
    services.send(&sent)?;
    services.ensure_counted(0, &counted)?;
    let errors = Counters::parse(&services.site.edge.get("/metrics")?.body)?;
    ensure!(errors.of("pass", Some("icmp_error")) == 7, "{errors:?}");
    for signal in [Signal::SIGKILL, Signal::SIGTERM] {
        daemon.signal(signal)?;
        daemon.wait(PATIENCE)?;
        services.send(&[(To::Tcp(993), 1)])?;
        daemon = services.site.run(&[])?;
    }
    services.send(&sent)?;
    let twice = counted.map(|(name, count)| (name, count * 2 + u64::from(name == "tcp/993") * 2));
    services.ensure_counted(0, &twice)?;
    // Monitor mode passes the same packets for the same reasons.
    services.reload(&format!("mode = \"monitor\"\n{CONFIG}"))?;
    services.send(&sent)?;
    let thrice = counted.map(|(name, count)| (name, count * 3 + u64::from(name == "tcp/993") * 2));
    services.ensure_counted(0, &thrice)?;
    daemon.interrupt(PATIENCE)?;
    Ok(())
}

#[test]
fn reload_or_restart_that_changes_services_counts_none_under_another_name() -> Result<()> {
    require_root!();
    let services =
        Services::new("block = [\"RU\"]\nmail = \"mta\"\nservices = [\"tcp/1000-2000\"]\n")?;
    let daemon = services.site.run(&[])?;
    services.send(&[(To::Tcp(25), 1), (To::Tcp(1500), 10)])?;
    services.ensure_counted(0, &[("tcp/25", 1), ("tcp/1000-2000", 10)])?;
    // A narrower service within the first takes its ports, and not the packets of before.
    let narrower =
        "block = [\"RU\"]\nmail = \"mta\"\nservices = [\"tcp/1000-2000\", \"tcp/1500\"]\n";
    services.reload(narrower)?;
    services.ensure_counted(0, &[("tcp/25", 1), ("tcp/1000-2000", 10)])?;
    services.send(&[(To::Tcp(1500), 2), (To::Tcp(1501), 3)])?;
    let counted = [("tcp/25", 1), ("tcp/1000-2000", 13), ("tcp/1500", 2)];
    services.ensure_counted(0, &counted)?;
    // What leaves the configuration takes its count along, and what comes begins at zero.
    services
        .reload("block = [\"RU\"]\nmail = \"mta\"\nservices = [\"tcp/1500\", \"udp/7000\"]\n")?;
    services.ensure_counted(13, &[("tcp/25", 1), ("tcp/1500", 2)])?;
    services.send(&[(To::Tcp(1501), 4), (To::Tcp(1500), 1), (To::Udp(7000), 5)])?;
    let counted = [("tcp/25", 1), ("tcp/1500", 3), ("udp/7000", 5)];
    services.ensure_counted(13, &counted)?;
    // The slot of the range is free by now, and another service gets it.
    services.reload(
        "block = [\"RU\"]\nmail = \"mta\"\nservices = [\"tcp/1500\", \"udp/7000\", \"udp/7001\"]\n",
    )?;
    services.ensure_counted(13, &counted)?;
    services.send(&[(To::Udp(7001), 9)])?;
    let counted = [
        ("tcp/25", 1),
        ("tcp/1500", 3),
        ("udp/7000", 5),
        ("udp/7001", 9),
    ];
    services.ensure_counted(13, &counted)?;
    // The same by a restart.
    daemon.kill(PATIENCE)?;
    services
        .site
        .configure("block = [\"RU\"]\nmail = \"mta\"\nservices = [\"udp/7001\", \"udp/7002\"]\n")?;
    let _daemon = services.site.run(&[])?;
    services.ensure_counted(21, &[("tcp/25", 1), ("udp/7001", 9)])?;
    services.send(&[(To::Udp(7002), 2), (To::Udp(7001), 1), (To::Tcp(1500), 8)])?;
    services.ensure_counted(21, &[("tcp/25", 1), ("udp/7001", 10), ("udp/7002", 2)])?;
    Ok(())
}

#[test]
fn tables_of_a_version_that_did_not_count_services_are_taken_over() -> Result<()> {
    require_root!();
    let services = Services::new(CONFIG)?;
    let mut daemon = services.site.run(&[])?;
    let tables = services.site.edge.pins().join("tables-1");
    // All of them, as an earlier version leaves them, and one, without which the others say nothing.
    let all = ["SERVICES", "SERVICE_PORTS", "SERVICE_NAMES"];
    for (lost, missing) in [
        (0, &[][..]),
        (5, &all[..]),
        (10, &all[..1]),
        (15, &all[2..]),
    ] {
        daemon.kill(PATIENCE)?;
        for table in missing {
            std::fs::remove_file(tables.join(table))?;
        }
        daemon = services.site.run(&[])?;
        services.ensure_counted(lost, &[])?;
        services.send(&[(To::Tcp(993), 3), (To::Echo, 2)])?;
        services.ensure_counted(lost, &[("tcp/993", 3), ("icmp/echo", 2)])?;
    }
    Ok(())
}

#[test]
fn services_of_a_trial_are_counted_while_it_lasts() -> Result<()> {
    require_root!();
    let services = Services::new("block = [\"RU\"]\nmail = \"off\"\nservices = [\"tcp/80\"]\n")?;
    let _daemon = services.site.run(&[])?;
    let next = "block = [\"RU\"]\nmail = \"off\"\nservices = [\"tcp/81\"]\n";
    services.site.write("next.toml", next)?;
    let file = services.site.word("next.toml")?;
    let apply = ["apply", "--confirm-within", "600s", &file];
    services.send(&[(To::Tcp(80), 1)])?;
    services.site.done(&apply)?;
    services.send(&[(To::Tcp(81), 2)])?;
    services.ensure_counted(0, &[("tcp/80", 1), ("tcp/81", 2)])?;
    // The policy before has its counter, whatever ends the trial.
    services.site.done(&["revert"])?;
    services.send(&[(To::Tcp(80), 1), (To::Tcp(81), 2)])?;
    services.ensure_counted(2, &[("tcp/80", 2)])?;
    services.site.done(&apply)?;
    services.send(&[(To::Tcp(81), 3)])?;
    services.site.done(&["confirm"])?;
    services.ensure_counted(4, &[("tcp/81", 3)])
}

#[test]
fn services_beyond_the_slots_are_counted_as_other() -> Result<()> {
    require_root!();
    let ports: Vec<_> = (1..=300)
        .map(|port| format!("\"udp/{}\"", port * 2))
        .collect();
    let config = format!(
        "block = [\"RU\"]\nmail = \"mta\"\nservices = [{}]\n",
        ports.join(", ")
    );
    let services = Services::new(&config)?;
    let mut daemon = services.site.run(&[])?;
    daemon.wait_line(
        "46 of 301 exempted services have no counter of their own",
        PATIENCE,
    )?;
    services.send(&[(To::Tcp(25), 1), (To::Udp(2), 2), (To::Udp(600), 3)])?;
    services.ensure_counted(0, &[("tcp/25", 1), ("udp/2", 2), ("other", 3)])?;
    ensure!(services.counts(0)?.len() == 256);
    Ok(())
}
