//! Lists that others keep, through the real kernel: what is fetched filters, what is bad does not, and commands name
//! the list and the line that decided.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use geofence_tests::edge::PATIENCE;
use geofence_tests::list_server::{Body, publish, serve};
use geofence_tests::require_root;
use geofence_tests::site::Site;
use geofence_tests::wait::{in_time, poll};

/// Addresses of a country that is not blocked.
const LISTED: &str = "84.200.69.80";
const OTHER: &str = "84.200.70.40";

/// A machine whose geofence has two lists: one in a file, one from a server on its own loopback, whose answer comes
/// along.
fn site() -> Result<(Site, Body)> {
    let site = Site::new("")?;
    let body = Body::default();
    let address = serve(&site.edge, Arc::clone(&body))?;
    site.configure(&format!(
        "[[list]]\nname = \"own\"\nfile = \"own.txt\"\nformat = \"plain\"\n\
         [[list]]\nname = \"theirs\"\nurl = \"http://{address}/theirs\"\nformat = \"spamhaus\"\n\
         [[list]]\nname = \"watched\"\nfile = \"watched.txt\"\nformat = \"plain\"\naction = \"alert\"\n"
    ))?;
    site.write("own.txt", "# none yet\n5.9.0.1\n")?;
    site.write("watched.txt", format!("{LISTED}\n{OTHER}\n"))?;
    Ok((site, body))
}

#[test]
fn fetched_list_filters_and_an_invalid_one_changes_nothing() -> Result<()> {
    require_root!();
    let (site, body) = site()?;
    let _daemon = site.run(&[])?;
    // A list with the action "alert" drops nothing.
    site.wait_passes(LISTED, true)?;
    let degraded = "geofence_list_degraded{list=\"theirs\"}";
    ensure!(site.edge.metric(degraded)? == 1.0, "it was never fetched");

    publish(&body, &format!("; theirs\n{LISTED} ; SBL1\n"));
    let (code, said) = site.ask(&["update"])?;
    ensure!(
        code == Some(0) && said.contains("theirs: 1 entries, for the first time"),
        "{said}"
    );
    site.wait_passes(LISTED, false)?;
    ensure!(site.edge.passes(OTHER)?, "only who is listed is dropped");
    let is_current = poll(PATIENCE, || {
        Ok((site.edge.metric(degraded)? == 0.0).then_some(()))
    })?;
    ensure!(is_current.is_some(), "it is what the server gives");

    for (bad, why) in [
        ("<html>gone</html>".to_owned(), "a web page (HTML)"),
        ("127.0.0.0/8 ; SBL1\n".to_owned(), "special-use space"),
        (
            site.edge.pair.edge_address_for(LISTED.parse()?).to_string(),
            "this machine",
        ),
        (
            (0..10).map(|n| format!("5.{n}.0.1\n")).collect(),
            "ten times",
        ),
    ] {
        publish(&body, &bad);
        let (code, said) = site.ask(&["update", "theirs"])?;
        ensure!(
            code == Some(1) && said.contains(why),
            "{bad}: {code:?} {said}"
        );
        ensure!(
            said.contains("the last good text with 1 entries stays active"),
            "{said}"
        );
    }
    let lists = site.json(&["list"])?;
    ensure!(
        lists[1]["standing"] == "last good" && lists[1]["entries"] == 1,
        "{lists}"
    );
    ensure!(!site.edge.passes(LISTED)?, "the last good list is in use");
    publish(&body, &format!("{OTHER}\n"));
    let (code, said) = site.ask(&["update", "theirs"])?;
    ensure!(code == Some(0), "{said}");
    site.wait_passes(OTHER, false)?;
    site.wait_passes(LISTED, true)?;

    // A file is noticed by itself, and a bad one leaves what was good.
    site.write("own.txt", format!("# us\n{LISTED} # why\n"))?;
    site.wait_passes(LISTED, false)?;
    site.write("own.txt", "nonsense\n")?;
    let own = "geofence_list_degraded{list=\"own\"}";
    let noticed = poll(PATIENCE, || {
        Ok((site.edge.metric(own)? == 1.0).then_some(()))
    })?;
    ensure!(noticed.is_some(), "{own} stays 0");
    ensure!(!site.edge.passes(LISTED)?, "the last good file is in use");
    Ok(())
}

#[test]
fn last_entry_of_an_own_list_removed_ends_in_an_empty_list() -> Result<()> {
    require_root!();
    let (site, body) = site()?;
    publish(&body, "; theirs\n5.9.0.9 ; SBL1\n");
    site.write("own.txt", format!("{LISTED}\n"))?;
    ensure!(site.ask(&["update"])?.0 == Some(0));
    let _daemon = site.run(&[])?;
    ensure!(!site.edge.passes(LISTED)?, "{LISTED} is on the list");
    site.write("own.txt", "")?;
    let reloaded = site.done(&["reload"])?;
    ensure!(
        reloaded.stdout.starts_with("reloaded: image"),
        "{reloaded:?}"
    );
    ensure!(site.edge.passes(LISTED)?, "the list is empty now");
    let health = site.edge.get("/healthz")?.body;
    ensure!(health.contains("\"status\":\"ok\""), "{health}");
    Ok(())
}

#[test]
fn refused_list_shows_in_reload_status_health_metrics_log_and_list() -> Result<()> {
    require_root!();
    let (site, body) = site()?;
    publish(&body, "; theirs\n5.9.0.9 ; SBL1\n");
    ensure!(site.ask(&["update"])?.0 == Some(0));
    let mut daemon = site.run(&[])?;
    ensure!(site.edge.metric("geofence_degraded")? == 0.0);
    ensure!(site.edge.ask(&["status"])?.code == Some(0));

    // A file that is refused at a reload, and a text that is refused when it is fetched.
    site.write("own.txt", "nonsense\n")?;
    let reloaded = site.edge.ask(&["reload"])?;
    ensure!(
        reloaded.code == Some(1)
            && reloaded.stdout.contains("IN PART")
            && reloaded.stdout.contains("the list own is rejected")
            && reloaded.stdout.contains("own.txt, line 1: `nonsense`"),
        "{reloaded:?}"
    );
    ensure_degraded(&site, "own", "the list own is rejected")?;
    daemon.wait_line("the list own is rejected", PATIENCE)?;
    site.write("own.txt", "5.9.0.1\n")?;
    ensure!(
        site.done(&["reload"])?
            .stdout
            .starts_with("reloaded: image")
    );
    ensure_well(&site)?;

    publish(&body, "<html>gone</html>");
    ensure!(site.ask(&["update", "theirs"])?.0 == Some(1));
    ensure_degraded(&site, "theirs", "the last update of the list theirs failed")?;
    daemon.wait_line("the last update of the list theirs failed", PATIENCE)?;
    publish(&body, "; theirs\n5.9.0.9 ; SBL1\n");
    ensure!(site.ask(&["update", "theirs"])?.0 == Some(0));
    ensure_well(&site)?;
    daemon.wait_line("the list theirs is up to date again", PATIENCE)?;
    Ok(())
}

#[test]
fn what_lists_pass_over_is_counted_with_the_reason_in_list_and_log() -> Result<()> {
    require_root!();
    let site = Site::new("")?;
    let body = Body::default();
    let address = serve(&site.edge, Arc::clone(&body))?;
    let bogons = "10.0.0.0/8\n127.0.0.0/8\n";
    let level = format!(
        "[[list]]\nname = \"level1\"\nurl = \"http://{address}/level1\"\nformat = \"netset\"\n"
    );
    // Bogons are refused unless they are to be left out.
    site.configure(&level)?;
    publish(&body, &format!("{bogons}{LISTED}\n"));
    let (code, said) = site.ask(&["update"])?;
    ensure!(
        code == Some(1) && said.contains("special-use space"),
        "{said}"
    );
    site.configure(&format!(
        "{level}special-use = \"skip\"\n\
         [[list]]\nname = \"feed\"\nfile = \"feed.json\"\nformat = \"misp\"\naction = \"alert\"\n"
    ))?;
    let attributes = [("ip-dst|port", "5.9.0.3|443"), ("domain", "bad.example")]
        .map(|(kind, value)| format!("{{\"type\": \"{kind}\", \"value\": \"{value}\"}}"));
    site.write(
        "feed.json",
        format!(
            "{{\"response\": {{\"Attribute\": [{}]}}}}",
            attributes.join(", ")
        ),
    )?;
    // At every fetch, and without `--force`.
    for entries in [format!("{LISTED}\n"), format!("{LISTED}\n{OTHER}\n")] {
        publish(&body, &format!("{bogons}{entries}"));
        let (code, said) = site.ask(&["update", "level1"])?;
        let count = format!("level1: {} entries", entries.lines().count());
        ensure!(code == Some(0) && said.contains(&count), "{said}");
    }
    let mut daemon = site.run(&[])?;
    ensure!(!site.edge.passes(OTHER)?, "what is left filters");
    let over = [
        "level1: passed over 2 entries in special-use space",
        "feed: passed over 1 ",
    ];
    let (code, listed) = site.ask(&["list"])?;
    ensure!(code == Some(0), "{listed}");
    for over in over {
        ensure!(listed.contains(over), "{listed}");
        daemon.wait_line(&format!("list {over}"), PATIENCE)?;
    }
    let json = site.json(&["list"])?;
    ensure!(
        json[0]["passed_over_by"]["entries in special-use space"] == 2
            && json[1]["passed_over"] == 1
            && json[1]["entries"] == 1,
        "{json}"
    );
    site.done(&["reload"])?;
    Ok(())
}

/// Checks that every face but the log says that a list is not what its source has.
fn ensure_degraded(site: &Site, list: &str, what: &str) -> Result<()> {
    let status = site.edge.ask(&["status"])?;
    let health = site.edge.get("/healthz")?;
    let (code, listed) = site.ask(&["list"])?;
    ensure!(code == Some(1), "a success hides the refusal: {listed}");
    let metrics = site.edge.get("/metrics")?.body;
    ensure!(
        status.code == Some(1) && status.stdout.contains(&format!("DEGRADED   list: {what}")),
        "{status:?}"
    );
    ensure!(
        health.status == 200
            && health.body.contains("\"status\":\"degraded\"")
            && health.body.contains(what),
        "{health:?}"
    );
    ensure!(
        listed.contains("last good") && listed.contains(what),
        "{listed}"
    );
    for series in [
        "geofence_degraded 1".to_owned(),
        format!("geofence_list_degraded{{list=\"{list}\"}} 1"),
        "geofence_shortfalls{part=\"list\"} 1".to_owned(),
    ] {
        ensure!(metrics.contains(&series), "no {series} in {metrics}");
    }
    Ok(())
}

/// Checks that nothing is missing.
fn ensure_well(site: &Site) -> Result<()> {
    let status = site.edge.ask(&["status"])?;
    let health = site.edge.get("/healthz")?.body;
    ensure!(status.code == Some(0), "{status:?}");
    ensure!(health.contains("\"status\":\"ok\""), "{health}");
    ensure!(site.edge.metric("geofence_degraded")? == 0.0);
    Ok(())
}

#[test]
fn expired_list_entry_goes_by_itself() -> Result<()> {
    require_root!();
    let (site, _daemon) = in_time(|seconds| {
        let (site, _) = site()?;
        let config = "[[list]]\nname = \"own\"\nfile = \"own.txt\"\nformat = \"ipset\"\n";
        site.configure(config)?;
        let begun = Instant::now();
        site.write(
            "own.txt",
            format!("add own {LISTED} timeout {seconds}\nadd own {OTHER}\n"),
        )?;
        let daemon = site.run(&[])?;
        let passes = site.edge.passes(LISTED)?;
        // The timeout is kept in whole seconds, so it may be one less.
        if begun.elapsed() >= Duration::from_secs(seconds - 1) {
            return Ok(None);
        }
        ensure!(!passes, "{LISTED} is on the list and passes");
        Ok(Some((site, daemon)))
    })?;
    site.wait_passes(LISTED, true)?;
    ensure!(!site.edge.passes(OTHER)?, "only the expired entry goes");
    // The kernel has the new image a moment before the status shows it.
    poll(PATIENCE, || {
        let status = site.edge.ask(&["status", "--json"])?.json()?;
        Ok((status["lists"][0]["lapsed"] == 1).then_some(()))
    })?
    .context("the status does not show the expired entry")
}

#[test]
fn commands_name_the_list_and_the_line() -> Result<()> {
    require_root!();
    let (site, _) = site()?;
    site.write("own.txt", format!("# us\n{LISTED} # why\n"))?;
    let (code, said) = site.ask(&["explain", LISTED])?;
    ensure!(
        code == Some(1) && said.contains("on the list own (line 2: 84.200.69.80/32), which blocks"),
        "{said}"
    );
    let (code, said) = site.ask(&["lookup", LISTED])?;
    ensure!(
        code == Some(0) && said.contains("list    on the list own (line 2: 84.200.69.80/32)"),
        "{said}"
    );
    ensure!(
        said.contains(
            "on the list watched (line 1: 84.200.69.80/32), which counts what comes from there or goes there and \
             blocks nothing"
        ),
        "{said}"
    );
    let lookup = site.json(&["lookup", LISTED])?;
    ensure!(
        lookup["denied"] == true && lookup["lists"][0]["line"] == 2,
        "{lookup}"
    );
    let explain = site.json(&["explain", OTHER])?;
    ensure!(
        explain["action"] == "pass" && explain["lists"][0]["list"] == "watched",
        "{explain}"
    );
    let (code, said) = site.ask(&["check"])?;
    ensure!(
        code == Some(0) && said.contains("own: block both, 1 entries, current"),
        "{said}"
    );
    ensure!(
        said.contains(
            "the list theirs was never fetched; it is empty until `geofence update theirs`"
        ),
        "{said}"
    );
    let (code, said) = site.ask(&["update", "thiers"])?;
    ensure!(
        code == Some(2)
            && said.contains("there is no list \"thiers\"; the lists are own, theirs, watched"),
        "{said}"
    );
    site.write("own.txt", "nonsense\n")?;
    let (code, said) = site.ask(&["check"])?;
    ensure!(
        code == Some(2) && said.contains("own.txt, line 1: `nonsense` is not an address or prefix"),
        "{said}"
    );
    Ok(())
}
