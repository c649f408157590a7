//! A start protects what it can: without a list, an address, data, a directory, or the configuration itself. What is
//! missing is named, and added when it becomes available.

use std::net::TcpListener;

use anyhow::{Context as _, Result, ensure};
use geofence_tests::daemon::{Daemon, Ended};
use geofence_tests::edge::{LISTEN, PATIENCE};
use geofence_tests::mmdb_writer::{Schema, Writer};
use geofence_tests::require_root;
use geofence_tests::site::{CONFIG, GERMAN, RUSSIAN, Site};
use geofence_tests::wait::poll;
use nix::sys::signal::Signal;
use serde_json::Value;

/// What a start says when everything is in place that can be.
const READY: &str = "ready: ";
const LIST: &str = "[[list]]\nname = \"own\"\nfile = \"own.txt\"\nformat = \"plain\"\n";

/// Starts by the configuration alone, on the interface that it names.
fn start(site: &Site, more: &[&str]) -> Result<Daemon> {
    let config = site.word(CONFIG)?;
    let words = ["--config", &config, "--listen", LISTEN];
    Daemon::run(&site.edge.pair.edge, &[&words, more].concat(), &[])
}

/// The exit code of a start that fails, and what it said; nothing may be attached.
fn refused(site: &Site, more: &[&str]) -> Result<(Option<i32>, String)> {
    let Ended { status, stderr, .. } = start(site, more)?.wait(PATIENCE)?;
    ensure!(
        site.edge.program(site.edge.interface())?.is_none(),
        "a program was left behind: {stderr}"
    );
    Ok((status.code(), stderr))
}

fn configuration(more: &str) -> String {
    format!("interfaces = [\"edge0\"]\nblock = [\"RU\"]\n{more}")
}

/// Stops the daemon and takes the filter off, so that the next start has nothing to take over.
fn stop(site: &Site, mut daemon: Daemon) -> Result<()> {
    daemon.signal(Signal::SIGTERM)?;
    let ended = daemon.wait(PATIENCE)?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    site.edge.detach(&["--all"]).map(drop)
}

/// What /healthz answers: its code, its status, and the parts that are missing.
fn health(site: &Site) -> Result<(u16, String, Vec<String>)> {
    let answer = site.edge.get("/healthz")?;
    let said: Value = serde_json::from_str(&answer.body)?;
    let missing = said["shortfalls"].as_array().into_iter().flatten();
    let missing = missing.map(|one| one["part"].as_str().unwrap_or_default().to_owned());
    let status = said["status"].as_str().unwrap_or_default().to_owned();
    Ok((answer.status, status, missing.collect()))
}

/// Checks that this part is missing, and that everything says so while the country is filtered.
fn ensure_missing(site: &Site, part: &str) -> Result<()> {
    ensure!(site.passes()? == [false, true], "Russia is not filtered");
    let found = health(site)?;
    let expected = (200, "degraded".to_owned(), vec![part.to_owned()]);
    ensure!(found == expected, "{found:?}");
    let series = format!("geofence_shortfalls{{part=\"{part}\"}}");
    ensure!(site.edge.metric(&series)? == 1.0, "{series}");
    ensure!(site.edge.metric("geofence_degraded")? == 1.0);
    let status = site.edge.ask(&["status"])?;
    ensure!(
        status.code == Some(1) && status.stdout.contains(&format!("DEGRADED   {part}: ")),
        "{status:?}"
    );
    Ok(())
}

fn wait_complete(site: &Site) -> Result<()> {
    let complete = poll(PATIENCE, || Ok((health(site)?.1 == "ok").then_some(())))?;
    complete.with_context(|| format!("still {:?}", health(site)))?;
    ensure!(site.edge.metric("geofence_degraded")? == 0.0);
    Ok(())
}

#[test]
fn list_that_cannot_be_used_is_empty_until_it_can() -> Result<()> {
    require_root!();
    for text in [None, Some("nonsense\n"), Some("<!doctype html>")] {
        let site = Site::new(&configuration(LIST))?;
        if let Some(text) = text {
            site.write("own.txt", text)?;
        }
        let (code, said) = refused(&site, &["--strict"])?;
        ensure!(code == Some(2) && said.contains("the list own"), "{said}");

        let mut daemon = start(&site, &[])?;
        daemon.wait_line("THE LIST own IS EMPTY", PATIENCE)?;
        daemon.wait_line(READY, PATIENCE)?;
        ensure_missing(&site, "list")?;
        ensure!(site.edge.metric("geofence_list_degraded{list=\"own\"}")? == 1.0);
        // Another change of the policy does not wait for the list.
        site.configure(&configuration(LIST).replace("RU", "DE"))?;
        site.wait_both([true, false])?;
        site.configure(&configuration(LIST))?;
        site.wait_both([false, true])?;
        site.write("own.txt", format!("{GERMAN}\n"))?;
        site.wait_passes(GERMAN, false)?;
        wait_complete(&site)?;
        stop(&site, daemon)?;
    }
    Ok(())
}

#[test]
fn metrics_address_that_is_taken_is_bound_when_it_is_free() -> Result<()> {
    require_root!();
    let site = Site::new(&configuration(""))?;
    let namespace = &site.edge.pair.edge;
    let taken = namespace.enter(|| TcpListener::bind(LISTEN))??;
    let (code, said) = refused(&site, &["--strict"])?;
    ensure!(
        code == Some(2) && said.contains("cannot listen on"),
        "{said}"
    );

    let mut daemon = start(&site, &[])?;
    daemon.wait_line("NO METRICS, geofence keeps trying", PATIENCE)?;
    daemon.wait_line("ready: no metrics yet", PATIENCE)?;
    ensure!(site.passes()? == [false, true]);
    let status = site.edge.ask(&["status", "--json"])?;
    ensure!(
        status.code == Some(1) && status.json()?["shortfalls"][0]["part"] == "metrics",
        "{status:?}"
    );
    drop(taken);
    daemon.wait_healthy(LISTEN.parse()?, PATIENCE)?;
    wait_complete(&site)
}

#[test]
fn address_that_comes_with_its_interface_is_bound_then() -> Result<()> {
    require_root!();
    let site = Site::new(&configuration(""))?;
    let config = site.word(CONFIG)?;
    let words = ["--config", &config, "--listen", "192.0.2.99:10317"];
    let mut daemon = Daemon::run(&site.edge.pair.edge, &words, &[])?;
    daemon.wait_line("ready: no metrics yet", PATIENCE)?;
    ensure!(site.passes()? == [false, true]);
    let address = "192.0.2.99/32".parse()?;
    site.edge.pair.edge.add_address("lo", address)?;
    daemon.wait_healthy("192.0.2.99:10317".parse()?, PATIENCE)
}

#[test]
fn broken_configuration_leaves_the_last_good_image() -> Result<()> {
    require_root!();
    let site = Site::new(&configuration("blokc = 1\n"))?;
    let (code, said) = refused(&site, &[])?;
    ensure!(
        code == Some(78) && said.contains("did you mean `block`"),
        "{said}"
    );
    site.configure(&configuration(""))?;
    let mut daemon = start(&site, &[])?;
    daemon.wait_healthy(LISTEN.parse()?, PATIENCE)?;
    stop(&site, daemon)?;

    for broken in ["interfaces = [\n", "blokc = 1\n", "\u{0}"] {
        site.configure(broken)?;
        let (code, said) = refused(&site, &["--strict"])?;
        ensure!(code == Some(78), "{said}");
        let mut daemon = start(&site, &[])?;
        daemon.wait_line("FILTERING BY THE LAST GOOD IMAGE", PATIENCE)?;
        daemon.wait_line(READY, PATIENCE)?;
        ensure!(site.passes()? == [false, true], "{broken:?}");
        let answer = site.edge.get("/healthz")?;
        let health: Value = serde_json::from_str(&answer.body)?;
        ensure!(
            answer.status == 200
                && health["status"] == "degraded"
                && health["trouble"]["cause"] == "configuration",
            "{health}"
        );
        // It is corrected, and the daemon notices it by itself.
        site.configure(&configuration("").replace("RU", "DE"))?;
        site.wait_both([true, false])?;
        wait_complete(&site)?;
        site.configure(&configuration(""))?;
        site.wait_both([false, true])?;
        stop(&site, daemon)?;
    }
    // The image alone does not say which interfaces to protect.
    site.configure("blokc = 1\n")?;
    std::fs::remove_file(site.edge.state().join("configuration.toml"))?;
    ensure!(refused(&site, &[])?.0 == Some(78));
    Ok(())
}

#[test]
fn data_that_cannot_be_read_is_replaced_by_the_embedded_until_it_can() -> Result<()> {
    require_root!();
    let site = Site::new(&configuration("databases = [\"countries.mmdb\"]\n"))?;
    site.write("countries.mmdb", "<!doctype html>")?;
    let (code, said) = refused(&site, &["--strict"])?;
    ensure!(code == Some(2) && said.contains("is a web page"), "{said}");

    let mut daemon = start(&site, &[])?;
    daemon.wait_line("THE EMBEDDED GEOIP DATA IS IN USE", PATIENCE)?;
    daemon.wait_line(READY, PATIENCE)?;
    ensure_missing(&site, "database")?;
    // The configured data has the German address in Russia.
    let mut writer = Writer::new(Schema::Nested);
    for (network, code) in [
        ("84.200.0.0/16", "RU"),
        ("77.88.0.0/16", "DE"),
        ("2a02:6b8::/32", "DE"),
    ] {
        writer.add_code(network.parse()?, code);
    }
    site.write("countries.mmdb", writer.finish())?;
    site.wait_both([true, false])?;
    wait_complete(&site)?;
    stop(&site, daemon)
}

#[test]
fn other_databases_that_cannot_be_read_are_left_out_until_they_can() -> Result<()> {
    require_root!();
    for (key, part) in [
        ("cross-check-databases = [\"other.mmdb\"]\n", "cross_check"),
        (
            "asn-database = \"other.mmdb\"\ndeny = [\"AS64500\"]\n",
            "as_database",
        ),
    ] {
        let site = Site::new(&configuration(key))?;
        let (code, said) = refused(&site, &["--strict"])?;
        ensure!(code == Some(2) && said.contains("other.mmdb"), "{said}");
        let mut daemon = start(&site, &[])?;
        daemon.wait_line(READY, PATIENCE)?;
        ensure_missing(&site, part)?;
        // Either way the German address comes to be dropped.
        let (schema, text) = if part == "cross_check" {
            (Schema::Flat, "RU")
        } else {
            (Schema::Asn, "64500 Example Org")
        };
        let mut writer = Writer::new(schema);
        writer.add_code("84.200.69.0/24".parse()?, text);
        site.write("other.mmdb", writer.finish())?;
        site.wait_passes(GERMAN, false)?;
        wait_complete(&site)?;
        stop(&site, daemon)?;
    }
    Ok(())
}

#[test]
fn directories_that_cannot_be_used_do_not_keep_the_filter_away() -> Result<()> {
    require_root!();
    let site = Site::new(&configuration(""))?;
    let socket = site.edge.socket();
    let run = socket.parent().context("a directory")?;
    // A file where the directory of the socket should be, and a directory where the image is written.
    std::fs::write(run, "")?;
    let image = site.edge.state().join("image.new");
    std::fs::create_dir_all(&image)?;
    let (code, _) = refused(&site, &["--strict"])?;
    ensure!(code == Some(2));
    let mut daemon = start(&site, &[])?;
    daemon.wait_line("NO CONTROL SOCKET", PATIENCE)?;
    daemon.wait_line(READY, PATIENCE)?;
    ensure!(site.passes()? == [false, true]);
    let (code, status, mut missing) = health(&site)?;
    missing.sort();
    ensure!(
        (code, status.as_str()) == (200, "degraded") && missing == ["control", "state"],
        "{status} {missing:?}"
    );
    // It is still the only daemon of its name.
    let second = start(&site, &[])?.wait(PATIENCE)?;
    ensure!(
        second.status.code() == Some(2) && second.stderr.contains("runs as instance"),
        "{}",
        second.stderr
    );
    std::fs::remove_dir(image)?;
    let saved = poll(PATIENCE, || {
        Ok((health(&site)?.2 == ["control"]).then_some(()))
    })?;
    saved.context("the image is not saved")?;
    daemon.interrupt(PATIENCE)?;
    Ok(std::fs::remove_file(run)?)
}

#[test]
fn policy_that_locks_out_a_gateway_leaves_the_last_good_image() -> Result<()> {
    require_root!();
    let site = Site::new(&configuration(""))?;
    site.edge.pair.claim(GERMAN.parse()?)?;
    let words = ["ip", "route", "add", "default", "via", GERMAN, "onlink"];
    let words = [&words[..], &["dev", site.edge.interface()]].concat();
    site.edge.pair.edge.run(&words)?;
    site.configure(&configuration("").replace("RU", "DE"))?;
    let (code, said) = refused(&site, &[])?;
    ensure!(
        code == Some(2) && said.contains("the gateway 84.200.69.80"),
        "{said}"
    );
    site.configure(&configuration(""))?;
    let mut daemon = start(&site, &[])?;
    daemon.wait_healthy(LISTEN.parse()?, PATIENCE)?;
    stop(&site, daemon)?;

    site.configure(&configuration("").replace("RU", "DE"))?;
    let mut daemon = start(&site, &[])?;
    daemon.wait_line("FILTERING BY THE LAST GOOD IMAGE", PATIENCE)?;
    daemon.wait_line(READY, PATIENCE)?;
    ensure!(!site.edge.passes(RUSSIAN)?);
    let answer = site.edge.get("/healthz")?;
    let health: Value = serde_json::from_str(&answer.body)?;
    ensure!(health["trouble"]["cause"] == "access", "{health}");
    Ok(())
}
