//! Commands of the pages that show traffic, fetch, or need data of their own: each is run, and what comes is compared.

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use geofence_tests::daemon::{Daemon, geofence};
use geofence_tests::edge::PATIENCE;
use geofence_tests::frames::between;
use geofence_tests::list_server::{Body, publish, serve};
use geofence_tests::mmdb_writer::{Schema, Writer};
use geofence_tests::packet_socket::PacketSocket;
use geofence_tests::require_root;
use geofence_tests::site::{CONFIG, RUSSIAN, Site};
use geofence_tests::wait::poll;
use nix::sys::signal::Signal;

use super::{Step, compared, ensure_same, run, steps};

/// The step of a page that begins like this.
fn step(page: &'static str, start: &str) -> Result<Step> {
    let found = steps(page)?
        .into_iter()
        .find(|step| step.line().starts_with(start));
    found.with_context(|| format!("{page} has no `{start}`"))
}

/// A database in which each country has one network: 20.0.0.0/16 for the first, 20.1.0.0/16 for the second.
fn database(codes: &[&str]) -> Result<Vec<u8>> {
    let mut writer = Writer::new(Schema::Flat);
    for (at, code) in codes.iter().enumerate() {
        writer.add_code(format!("20.{at}.0.0/16").parse()?, code);
        writer.add_code(format!("2a0{at}::/32").parse()?, code);
    }
    Ok(writer.finish())
}

/// Sends packets from an address to a port of the machine.
fn send(site: &Site, source: &str, port: u16, times: usize) -> Result<()> {
    let pair = &site.edge.pair;
    let source: IpAddr = source.parse()?;
    let frame = between(source, pair.edge_address_for(source)).tcp(40_000, port);
    let outside = PacketSocket::open(&pair.peer, &pair.peer_interface)?;
    outside.send_many(&vec![frame.syn().build(); times])
}

#[test]
fn report_prints_what_the_page_says() -> Result<()> {
    require_root!();
    let site = Site::new(
        "databases = [\"country.mmdb\"]\n[[exception]]\nid = \"x\"\nfrom = [\"20.1.0.9\"]\nto = [\"any\"]\n\
         owner = \"o\"\nreason = \"r\"\n",
    )?;
    site.write(
        "country.mmdb",
        database(&["CN", "RU", "UA", "US", "BY", "KP"])?,
    )?;
    let _daemon = site.run(&["--force"])?;
    for (source, port, times) in [
        ("20.0.0.1", 22, 450),
        ("20.1.0.1", 22, 120),
        ("20.2.0.1", 22, 8),
        ("20.3.0.1", 22, 200),
        ("20.1.0.1", 25, 60),
        ("20.0.0.1", 25, 40),
        ("20.1.0.9", 22, 11),
    ] {
        send(&site, source, port, times)?;
    }
    let step = step("docs/monitoring.md", "geofence report")?;
    poll(PATIENCE, || {
        let report = site.edge.ask(&["report", "--json"])?.json()?;
        Ok((report["all"]["passed"]["packets"] == 311).then_some(()))
    })?
    .context("the packets are not in the history")?;
    run(&step, &site, &[])
}

/// Runs a command that follows, repeats something that it shows, and returns its first lines.
fn follow(
    site: &Site,
    step: &Step,
    lines: usize,
    repeat: impl Fn() -> Result<()>,
) -> Result<Vec<String>> {
    let namespace = &site.edge.pair.edge;
    let mut command = geofence(namespace)?;
    command
        .args(&step.words[1..])
        .current_dir(site.directory.path());
    let mut follower = Daemon::spawn(namespace, command)?;
    let said = follower.wait_for("events", PATIENCE, |follower| {
        repeat()?;
        let said = follower.stderr() + &follower.stdout();
        Ok((said.lines().count() >= lines).then_some(said))
    })?;
    // A runner in the background may have its children ignore SIGINT.
    follower.signal(Signal::SIGTERM)?;
    follower.wait(PATIENCE)?;
    Ok(said.lines().take(lines).map(str::to_owned).collect())
}

#[test]
fn followed_events_look_as_the_pages_say() -> Result<()> {
    require_root!();
    let site = Site::new(
        "block = [\"RU\"]\n[[tenant]]\nname = \"customer-17\"\nprefixes = [\"198.51.100.0/24\"]\n\
         [[list]]\nname = \"feodo\"\nfile = \"feodo.txt\"\nformat = \"plain\"\ndirection = \"out\"\n",
    )?;
    site.write("feodo.txt", "5.9.0.1\n")?;
    let _daemon = site.run(&[])?;
    let same = |step: &Step, said: Vec<String>| {
        let said: Vec<_> = said
            .iter()
            .map(|line| line.replace("edge0", "eth0"))
            .collect();
        ensure_same(
            step,
            &compared(said.iter().map(String::as_str), &site)?,
            &site,
        )
    };
    let drops = step("docs/events.md", "geofence events --follow")?;
    let came = follow(&site, &drops, 2, || send(&site, RUSSIAN, 22, 1))?;
    same(&drops, came)?;

    let listed = step("docs/lists.md", "geofence events --follow")?;
    let pair = &site.edge.pair;
    let inside = PacketSocket::open(&pair.edge, &pair.edge_interface)?;
    let out = between("198.51.100.9".parse()?, "5.9.0.1".parse()?).tcp(51_234, 443);
    let out = out.syn().build();
    // The line that says that drops are sampled comes first, and a list's events come with them.
    let came = follow(&site, &listed, 3, || {
        // The filter drops it, and the sender is given an error.
        let _ = inside.send(&out);
        Ok(())
    })?;
    let came: Vec<_> = came
        .into_iter()
        .filter(|line| line.contains("list feodo"))
        .take(1)
        .collect();
    same(&listed, came)
}

#[test]
fn capture_writes_the_file_that_the_page_names() -> Result<()> {
    require_root!();
    let site = Site::new("block = [\"RU\"]\n")?;
    let _daemon = site.run(&[])?;
    let capture = step("docs/events.md", "geofence capture")?;
    let namespace = &site.edge.pair.edge;
    let mut command = geofence(namespace)?;
    command
        .args(&capture.words[1..])
        .current_dir(site.directory.path());
    let mut running = Daemon::spawn(namespace, command)?;
    running.wait_for("a captured frame", PATIENCE, |_| {
        send(&site, RUSSIAN, 22, 1)?;
        let captured = site.edge.metric("geofence_captured_frames_total")?;
        Ok((captured > 0.0).then_some(()))
    })?;
    running.signal(Signal::SIGINT)?;
    let ended = running.wait(PATIENCE)?;
    ensure!(ended.status.success(), "{ended:?}");
    let file = site.word("out.pcapng")?;
    let judged = site.edge.ask(&["explain", "--pcap", &file])?;
    ensure!(
        judged.stdout.contains("country_blocked"),
        "the frames are judged anew: {judged:?}"
    );
    Ok(())
}

#[test]
fn forced_update_accepts_the_present_text() -> Result<()> {
    require_root!();
    let site = Site::new("")?;
    let body = Body::default();
    let address = serve(&site.edge, Arc::clone(&body))?;
    site.configure(&format!(
        "[[list]]\nname = \"drop\"\nurl = \"http://{address}/drop\"\nformat = \"plain\"\n"
    ))?;
    let config = site.word(CONFIG)?;
    publish(&body, "10.0.0.0/8\n");
    let (code, said) = site.ask(&["update"])?;
    ensure!(
        code == Some(1) && said.contains("geofence update drop --force"),
        "{said}"
    );
    let step = step("docs/lists.md", "geofence update drop --force")?;
    run(&step, &site, &["--default-config", &config])?;
    let lists = site.json(&["list"])?;
    ensure!(lists[0]["entries"] == 1, "{lists}");
    Ok(())
}

#[test]
fn databases_that_disagree_are_explained_as_the_page_says() -> Result<()> {
    require_root!();
    let site = Site::new(
        "block = [\"RU\"]\ndatabases = [\"one.mmdb\"]\ncross-check-databases = [\"other.mmdb\"]\n\
         cross-check = \"any\"\n",
    )?;
    for (file, code) in [("one.mmdb", "DE"), ("other.mmdb", "RU")] {
        let mut writer = Writer::new(Schema::Flat);
        for (network, code) in [
            ("77.88.0.0/16", "RU"),
            ("2a00::/32", "RU"),
            ("46.254.93.0/24", code),
        ] {
            writer.add_code(network.parse()?, code);
        }
        site.write(file, writer.finish())?;
    }
    let step = step("docs/origins.md", "geofence explain 46.254.93.1")?;
    let config = site.word(CONFIG)?;
    run(&step, &site, &["--default-config", &config])
}
