//! A list that would drop much of the traffic that passes now is refused, until its configuration accepts that.

use std::net::IpAddr;

use anyhow::{Result, ensure};
use geofence_tests::edge::PATIENCE;
use geofence_tests::frames::between;
use geofence_tests::mmdb_writer::{Schema, Writer};
use geofence_tests::packet_socket::PacketSocket;
use geofence_tests::probe::exchange;
use geofence_tests::require_root;
use geofence_tests::site::{GERMAN, Site};

/// As many packets as the daemon judges by.
const PACKETS: usize = 10_000;
/// How many are on their way at once.
const BATCH: usize = 250;

#[test]
fn list_that_would_drop_much_of_what_passes_is_refused_until_it_is_accepted() -> Result<()> {
    require_root!();
    let config = |more: &str| {
        format!(
            "block = [\"RU\"]\ndatabases = [\"countries.mmdb\"]\n\n[[list]]\nname = \"own\"\nfile = \"own.txt\"\n\
             format = \"plain\"\n{more}"
        )
    };
    let site = Site::new(&config(""))?;
    let mut writer = Writer::new(Schema::Nested);
    for (network, code) in [
        ("77.88.0.0/16", "RU"),
        ("2a02:6b8::/32", "RU"),
        ("84.200.0.0/16", "DE"),
        ("2a01:4f8::/32", "DE"),
    ] {
        writer.add_code(network.parse()?, code);
    }
    site.write("countries.mmdb", writer.finish())?;
    site.write("own.txt", "5.9.0.1\n")?;
    let daemon = site.run(&[])?;
    let pair = &site.edge.pair;
    let outside = PacketSocket::open(&pair.peer, &pair.peer_interface)?;
    let inside = PacketSocket::open(&pair.edge, &pair.edge_interface)?;
    let source: IpAddr = GERMAN.parse()?;
    let frame = between(source, pair.edge_address_for(source))
        .tcp(40_000, 22)
        .syn()
        .build();
    let frames = vec![frame; BATCH];
    for _ in 0..PACKETS / BATCH {
        ensure!(
            exchange(&outside, &inside, &frames, PATIENCE)?.len() >= BATCH,
            "packets are missing"
        );
    }
    // A quarter of Germany, which is next to nothing of the internet.
    site.write("own.txt", "84.200.64.0/18\n")?;
    let answer = site.edge.ask(&["reload"])?;
    ensure!(
        answer.code == Some(1)
            && answer
                .stdout
                .contains("of the packets that pass now, most of them from Germany (DE)")
            && answer.stdout.contains("max-share = 25"),
        "{answer:?}"
    );
    ensure!(site.edge.passes(GERMAN)?, "the list is in force");
    site.configure(&config("max-share = 25\n"))?;
    let answer = site.edge.ask(&["reload"])?;
    ensure!(answer.code == Some(0), "{answer:?}");
    ensure!(!site.edge.passes(GERMAN)?, "the list is not in force");
    daemon.interrupt(PATIENCE).map(drop)
}
