//! A list that would drop much of the traffic that passes now is refused, until its configuration accepts that.

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::{Result, ensure};
use geofence_tests::edge::PATIENCE;
use geofence_tests::frames::between;
use geofence_tests::list_server::{Body, publish, serve};
use geofence_tests::mmdb_writer::{Schema, Writer};
use geofence_tests::packet_socket::PacketSocket;
use geofence_tests::probe::exchange;
use geofence_tests::require_root;
use geofence_tests::site::{GERMAN, Site};

/// As many packets as the daemon judges by.
const PACKETS: usize = 10_000;
/// How many are on their way at once.
const BATCH: usize = 250;

/// A machine whose database knows two countries, with a list of this source.
fn site(source: &str) -> Result<Site> {
    let site = Site::new(&config(source, ""))?;
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
    Ok(site)
}

fn config(source: &str, more: &str) -> String {
    format!(
        "block = [\"RU\"]\ndatabases = [\"countries.mmdb\"]\n\n[[list]]\nname = \"own\"\n{source}\n\
         format = \"plain\"\n{more}"
    )
}

/// Sends as many packets from Germany as the guard judges by.
fn pass_traffic(site: &Site) -> Result<()> {
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
    Ok(())
}

/// A quarter of Germany, which is next to nothing of the internet.
const QUARTER: &str = "84.200.64.0/18\n";
const REFUSED: &str = "of the packets that pass now, most of them from Germany (DE)";

#[test]
fn list_that_would_drop_much_of_what_passes_is_refused_until_it_is_accepted() -> Result<()> {
    require_root!();
    let source = "file = \"own.txt\"";
    let site = site(source)?;
    site.write("own.txt", "5.9.0.1\n")?;
    let daemon = site.run(&[])?;
    pass_traffic(&site)?;
    site.write("own.txt", QUARTER)?;
    let answer = site.edge.ask(&["reload"])?;
    ensure!(
        answer.code == Some(1)
            && answer.stdout.contains(REFUSED)
            && answer.stdout.contains("max-share = 25"),
        "{answer:?}"
    );
    ensure!(site.edge.passes(GERMAN)?, "the list is in force");
    site.configure(&config(source, "max-share = 25\n"))?;
    let answer = site.edge.ask(&["reload"])?;
    ensure!(answer.code == Some(0), "{answer:?}");
    ensure!(!site.edge.passes(GERMAN)?, "the list is not in force");
    daemon.interrupt(PATIENCE).map(drop)
}

#[test]
fn fetched_list_that_would_drop_much_of_what_passes_is_refused_until_it_is_accepted() -> Result<()>
{
    require_root!();
    let site = site("file = \"own.txt\"")?;
    let body = Body::default();
    let address = serve(&site.edge, Arc::clone(&body))?;
    let source = format!("url = \"http://{address}/own\"");
    site.configure(&config(&source, ""))?;
    publish(&body, "5.9.0.1\n");
    // The first fetch, before a daemon runs, has no traffic to go by.
    let (code, said) = site.ask(&["update"])?;
    ensure!(code == Some(0), "{said}");
    let daemon = site.run(&[])?;
    pass_traffic(&site)?;
    publish(&body, QUARTER);
    let (code, said) = site.ask(&["update", "own"])?;
    ensure!(
        code == Some(1)
            && said.contains(REFUSED)
            && said.contains("max-share = 25")
            && said.contains("the last good text with 1 entries stays active"),
        "{code:?} {said}"
    );
    // No face says that the list is in force, and it is not.
    let lists = site.json(&["list"])?;
    ensure!(
        lists[0]["standing"] == "last good" && lists[0]["entries"] == 1,
        "{lists}"
    );
    ensure!(site.edge.passes(GERMAN)?, "the list is in force");
    site.configure(&config(&source, "max-share = 25\n"))?;
    let (code, said) = site.ask(&["update", "own"])?;
    ensure!(code == Some(0), "{said}");
    site.wait_passes(GERMAN, false)?;
    daemon.interrupt(PATIENCE).map(drop)
}
