//! Packets from and to listed addresses through a real interface: counted by list and tenant, reported as events, and
//! dropped where a list says so, in its direction.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use geofence_tests::daemon::{Daemon, geofence};
use geofence_tests::edge::PATIENCE;
use geofence_tests::frames::{Frame, between};
use geofence_tests::require_root;
use geofence_tests::wait::{in_time, poll};
use serde_json::Value;

#[path = "indicators/flood.rs"]
mod flood;
#[path = "indicators/site.rs"]
mod site;

use site::{
    BOTH, C2, C2_V6, CALLED, CARRIED, CONFIG, INSIDE, INSIDE_V6, KNOCKING, SCANNER, Site, TRYING,
    UNLISTED, WATCHED, call,
};

#[test]
fn packet_to_a_listed_address_is_counted_reported_and_dropped_as_the_list_says() -> Result<()> {
    require_root!();
    let site = Site::new("replies = \"all\"\nblock = [\"DE\"]")?;
    let mut daemon = site.run()?;
    ensure!(site.leaves(INSIDE, UNLISTED)?, "it is on no list");
    ensure!(site.events()?.is_empty(), "there was no contact yet");

    // A list with the action "alert": the packet leaves, and an event reports it.
    ensure!(site.leaves(INSIDE, WATCHED)?, "an alert stops nothing");
    let events = site.wait_events(1)?;
    for (key, expected) in [
        ("list", "watched"),
        ("tenant", "customer"),
        ("direction", "out"),
        ("action", "pass"),
        ("src", INSIDE),
        ("dst", WATCHED),
        ("protocol", "tcp"),
        ("tcp_flags", "SYN"),
        ("country", "DE"),
        ("interface", "edge0"),
    ] {
        ensure!(
            events[0][key] == expected,
            "{key} is not {expected}: {events:?}"
        );
    }
    ensure!(
        events[0]["dst_port"] == 443
            && events[0]["src_port"] == 51_234
            && events[0]["length"] == 54
            && events[0]["reason"].is_null(),
        "{events:?}"
    );
    let line = daemon.wait_line("event: list watched", PATIENCE)?;
    let expected = "list watched, out, pass: 198.51.100.9:51234 -> 84.200.70.40:443, tcp SYN, country DE, \
                    edge0, 54 bytes, tenant customer";
    ensure!(line.contains(expected) && line.contains("WARN"), "{line}");
    ensure!(site.packets("watched", "customer", "out", "pass")? == 1.0);

    // A list that says "block": nothing leaves, and no flow is opened.
    for (here, there) in [(INSIDE, C2), (INSIDE_V6, C2_V6)] {
        ensure!(!site.leaves(here, there)?, "{there} was called");
    }
    ensure!(site.packets("c2", "customer", "out", "drop")? == 2.0);
    ensure!(site.packets("c2", "customer", "out", "pass")? == 0.0);
    let dropped = "geofence_packets_total{interface=\"edge0\",country=\"DE\",action=\"drop\",\
                   reason=\"listed_destination\"}";
    ensure!(
        site.machine.edge.metric(dropped)? == 2.0,
        "{}",
        site.machine.edge.get("/metrics")?.body
    );
    let tenant = "geofence_tenant_packets_total{tenant=\"customer\",action=\"drop\",reason=\"listed_destination\"}";
    ensure!(site.machine.edge.metric(tenant)? == 2.0);
    let flows = site.machine.edge.ask(&["flows", "--json"])?.json()?;
    let to: Vec<_> = flows["flows"]
        .as_array()
        .context("flows")?
        .iter()
        .map(|flow| &flow["remote"])
        .collect();
    ensure!(
        to.len() == 2,
        "expected a flow to {UNLISTED} and one to {WATCHED}: {flows}"
    );
    ensure!(!flows.to_string().contains(C2), "{flows}");

    // The edge's own packets belong to no tenant; of two lists, each counts.
    let own = site
        .machine
        .edge
        .pair
        .edge_address_for(BOTH.parse()?)
        .to_string();
    ensure!(!site.leaves(&own, BOTH)?);
    ensure!(site.packets("both", "", "out", "drop")? == 1.0);
    ensure!(site.packets("watched", "", "out", "drop")? == 1.0);
    let events = site.wait_events(5)?;
    ensure!(
        events[4]["tenant"].is_null() && events[4]["reason"] == "listed_destination",
        "{events:?}"
    );
    for series in ["geofence_events_total", "geofence_events_lost_total"] {
        let series = format!("{series}{{list=\"c2\",direction=\"out\"}}");
        let expected = if series.contains("lost") { 0.0 } else { 2.0 };
        ensure!(site.machine.edge.metric(&series)? == expected, "{series}");
    }
    // An address is in events and never in a label.
    let metrics = site.machine.edge.get("/metrics")?.body;
    ensure!(
        !metrics.contains(C2) && !metrics.contains(INSIDE),
        "{metrics}"
    );
    Ok(())
}

#[test]
fn list_applies_only_to_its_direction() -> Result<()> {
    require_root!();
    let site = Site::new("")?;
    let mut daemon = site.run()?;
    // Out: who is on it may come in, uncounted, and is not called.
    ensure!(
        site.enters(C2, INSIDE)?,
        "direction out does not concern what comes in"
    );
    ensure!(!site.leaves(INSIDE, C2)?);
    // In: the other way round.
    ensure!(!site.enters(SCANNER, INSIDE)?);
    ensure!(
        site.leaves(INSIDE, SCANNER)?,
        "direction in does not concern what leaves"
    );
    // Both: neither.
    ensure!(!site.enters(BOTH, INSIDE)? && !site.leaves(INSIDE, BOTH)?);
    // An alert about both: either, and both are counted.
    ensure!(site.enters(WATCHED, INSIDE)? && site.leaves(INSIDE, WATCHED)?);
    site.assert_counted(&[
        ("c2", "in", "pass", 0.0),
        ("c2", "out", "drop", 1.0),
        ("scanners", "in", "drop", 1.0),
        ("scanners", "out", "pass", 0.0),
        ("both", "in", "drop", 1.0),
        ("both", "out", "drop", 1.0),
        ("watched", "in", "pass", 1.0),
        ("watched", "in", "drop", 1.0),
        ("watched", "out", "pass", 1.0),
        ("watched", "out", "drop", 1.0),
    ])?;
    let denied = "geofence_packets_total{interface=\"edge0\",country=\"DE\",action=\"drop\",reason=\"denied\"}";
    ensure!(
        site.machine.edge.metric(denied)? == 2.0,
        "a list that blocks what comes in denies it"
    );
    let events = site.wait_events(8)?;
    // Who knocks is not worth a warning.
    let knock = daemon.wait_line("event: list scanners, in", PATIENCE)?;
    ensure!(knock.contains("INFO"), "{knock}");
    let of = |direction| {
        events
            .iter()
            .filter(|event| event["direction"] == direction)
            .count()
    };
    ensure!((of("in"), of("out")) == (4, 4), "{events:?}");
    Ok(())
}

#[test]
fn monitor_mode_and_exceptions_let_packets_to_listed_addresses_leave() -> Result<()> {
    require_root!();
    let site = Site::new(&format!("mode = \"monitor\"\nallow = [\"{BOTH}\"]"))?;
    let daemon = site.run()?;
    ensure!(site.leaves(INSIDE, C2)?, "monitor mode drops nothing");
    let passed = "geofence_packets_total{interface=\"edge0\",country=\"DE\",action=\"pass\",\
                   reason=\"listed_destination\"}";
    ensure!(site.machine.edge.metric(passed)? == 1.0);
    ensure!(site.packets("c2", "customer", "out", "pass")? == 1.0);
    // What the operator allows is not on any list.
    ensure!(site.leaves(INSIDE, BOTH)? && site.enters(BOTH, INSIDE)?);
    ensure!(site.packets("both", "customer", "out", "pass")? == 0.0);
    site.wait_events(1)?;
    daemon.interrupt(PATIENCE)?;

    // An exception lets a source in, so answers to it leave; other packets of ours do not.
    let exception = format!(
        "[[exception]]\nid = \"partner\"\nfrom = [\"{BOTH}\"]\nto = [\"customer\"]\nservices = [\"tcp/443\"]\n\
         owner = \"test\"\nreason = \"test\"\n"
    );
    let site = Site::new(&exception)?;
    let _daemon = site.run()?;
    ensure!(site.enters(BOTH, INSIDE)?, "the exception comes first");
    let answer = |port| -> Result<Vec<u8>> {
        let frame = between(INSIDE.parse()?, BOTH.parse()?);
        Ok(frame.tcp(port, 51_234).syn().ack().build())
    };
    ensure!(
        site.crosses(&site.inside, &site.outside, &answer(443)?)?,
        "it is not answered"
    );
    ensure!(
        !site.crosses(&site.inside, &site.outside, &answer(80)?)?,
        "only what is excepted is"
    );
    ensure!(
        site.packets("both", "customer", "out", "pass")? == 1.0,
        "it is counted all the same"
    );
    ensure!(site.packets("both", "customer", "out", "drop")? == 1.0);
    Ok(())
}

#[test]
fn each_of_two_lists_applies_only_to_its_direction() -> Result<()> {
    require_root!();
    let site = Site::new("")?;
    let _daemon = site.run()?;
    // What a list denies entry may be called, although another list has an eye on that.
    ensure!(!site.enters(KNOCKING, INSIDE)? && site.leaves(INSIDE, KNOCKING)?);
    ensure!(site.enters(CALLED, INSIDE)? && !site.leaves(INSIDE, CALLED)?);
    // Of an address within another, the lists of both.
    ensure!(!site.leaves(INSIDE_V6, CARRIED)?);
    site.assert_counted(&[
        ("watched", "in", "drop", 1.0),
        ("watched", "in", "pass", 1.0),
        ("watched", "out", "drop", 2.0),
        ("watched", "out", "pass", 1.0),
        ("scanners", "in", "drop", 1.0),
        ("c2", "out", "drop", 2.0),
    ])?;
    // Neither of the two that block reports the other direction.
    let events = site.wait_events(8)?;
    for (list, direction) in [("c2", "in"), ("scanners", "out")] {
        let is_it = |event: &&Value| event["list"] == list && event["direction"] == direction;
        ensure!(events.iter().find(is_it).is_none(), "{events:?}");
    }
    Ok(())
}

#[test]
fn tenant_mode_protection_and_management_come_before_a_list() -> Result<()> {
    require_root!();
    let more = format!(
        "[[tenant]]\nname = \"trying\"\nprefixes = [\"203.0.113.0/24\"]\nmode = \"monitor\"\n\
         [[protect]]\nid = \"desks\"\nservices = [\"tcp/3389\"]\nfrom = [\"{BOTH}\"]\nto = [\"customer\"]\n"
    );
    let site = Site::new(&more)?;
    let _daemon = site.run()?;
    ensure!(site.leaves(TRYING, C2)?, "its own mode is monitor");
    ensure!(!site.leaves(INSIDE, C2)?, "that of the others is not");
    ensure!(site.packets("c2", "trying", "out", "pass")? == 1.0);
    ensure!(site.packets("c2", "customer", "out", "drop")? == 1.0);

    // Whom a protected port is open to is answered from there, and from no other port.
    let desk = call(BOTH, INSIDE, 3389)?;
    ensure!(site.crosses(&site.outside, &site.inside, &desk)?);
    for (port, leaves) in [(3389, true), (443, false)] {
        let answer = between(INSIDE.parse()?, BOTH.parse()?).tcp(port, 51_234);
        let answer = answer.syn().ack().build();
        ensure!(
            site.crosses(&site.inside, &site.outside, &answer)? == leaves,
            "from port {port}"
        );
    }

    // Who manages the machine is on no list, although the one in use names them. A new text that did would be refused.
    site.machine
        .configure(&format!("management = [\"{C2}\"]\n{CONFIG}"))?;
    let reloaded = site.machine.edge.ask(&["reload"])?;
    ensure!(
        reloaded.code == Some(1) && reloaded.stdout.contains("the list c2 is rejected"),
        "{reloaded:?}"
    );
    ensure!(site.leaves(INSIDE, C2)?, "management comes first");
    ensure!(!site.leaves(INSIDE_V6, C2_V6)?, "the list is in use");
    ensure!(site.packets("c2", "customer", "out", "pass")? == 0.0);
    Ok(())
}

#[test]
fn lists_apply_to_egress_without_replies_and_their_entries_expire() -> Result<()> {
    require_root!();
    let list = "replies = \"none\"\n[[list]]\nname = \"c2\"\nfile = \"c2.ipset\"\nformat = \"ipset\"\n\
                direction = \"out\"\n";
    let (site, _daemon) = in_time(|seconds| {
        let site = Site::new("")?;
        site.machine.configure(list)?;
        let begun = Instant::now();
        let entries = format!("add c2 {C2} timeout {seconds}\nadd c2 {CALLED}\n");
        site.machine.write("c2.ipset", entries)?;
        let daemon = site.run()?;
        let leaves = site.leaves(INSIDE, C2)?;
        // The timeout is kept in whole seconds, so it may be one less.
        if begun.elapsed() >= Duration::from_secs(seconds - 1) {
            return Ok(None);
        }
        ensure!(!leaves, "{C2} is on the list and is called");
        Ok(Some((site, daemon)))
    })?;
    let expired = poll(PATIENCE, || Ok(site.leaves(INSIDE, C2)?.then_some(())))?;
    ensure!(expired.is_some(), "the entry does not expire");
    ensure!(!site.leaves(INSIDE, CALLED)?, "only the expired entry goes");
    Ok(())
}

#[test]
fn event_names_ports_as_far_as_headers_can_be_parsed() -> Result<()> {
    require_root!();
    let site = Site::new("")?;
    let _daemon = site.run()?;
    let frame = || Ok::<_, anyhow::Error>(between(INSIDE_V6.parse()?, C2_V6.parse()?));
    let options = |frame: Frame| frame.hop_by_hop(&[]).destination_options(&[]);
    // No port is invented for what is not the beginning of a datagram, or proves nothing.
    let endless = (0..9).fold(frame()?, |frame, _| frame.destination_options(&[]));
    for (number, (frame, protocol, port)) in [
        (options(frame()?).tcp(51_234, 443).syn(), "tcp", Some(443)),
        (
            frame()?.fragment(0, true, 7).udp(51_234, 53),
            "udp",
            Some(53),
        ),
        (frame()?.fragment(64, false, 7).udp(51_234, 53), "udp", None),
        (endless.tcp(51_234, 443).syn(), "60", None),
    ]
    .into_iter()
    .enumerate()
    {
        ensure!(!site.crosses(&site.inside, &site.outside, &frame.build())?);
        let events = site.wait_events(number + 1)?;
        let event = &events[number];
        ensure!(
            event["protocol"] == protocol && event["dst_port"].as_u64() == port,
            "{protocol} to {port:?}: {event}"
        );
    }
    let events = site.wait_events(4)?;
    ensure!(
        events[0]["tcp_flags"] == "SYN" && events[0]["src_port"] == 51_234,
        "{events:?}"
    );
    Ok(())
}

#[test]
fn list_counters_and_pending_events_outlive_the_daemon() -> Result<()> {
    require_root!();
    let site = Site::new("")?;
    let daemon = site.run()?;
    ensure!(!site.leaves(INSIDE, C2)?);
    site.wait_events(1)?;
    daemon.kill(PATIENCE)?;
    // No daemon reads the events; the filter goes on.
    ensure!(!site.leaves(INSIDE, C2)? && site.leaves(INSIDE, WATCHED)?);
    let mut daemon = site.run()?;
    let events = site.wait_events(2)?;
    ensure!(
        events[0]["list"] == "c2" && events[1]["list"] == "watched",
        "{events:?}"
    );
    daemon.wait_line("event: list c2", PATIENCE)?;
    ensure!(site.packets("c2", "customer", "out", "drop")? == 2.0);

    // A list that is no more is forgotten, and others stay what they are.
    site.machine
        .configure(&CONFIG.replace("name = \"c2\"", "name = \"others\""))?;
    let reloaded = site.machine.edge.ask(&["reload"])?;
    ensure!(reloaded.code == Some(0), "{reloaded:?}");
    ensure!(site.packets("c2", "customer", "out", "drop")? == 0.0);
    ensure!(site.packets("others", "customer", "out", "drop")? == 0.0);
    ensure!(site.packets("watched", "customer", "out", "pass")? == 1.0);
    ensure!(!site.leaves(INSIDE, C2)?);
    ensure!(site.packets("others", "customer", "out", "drop")? == 1.0);
    // One that comes back begins anew.
    site.machine.configure(CONFIG)?;
    site.machine.done(&["reload"])?;
    ensure!(site.packets("c2", "customer", "out", "drop")? == 0.0);
    ensure!(site.packets("watched", "customer", "out", "pass")? == 1.0);
    Ok(())
}

#[test]
fn events_are_followed_and_explain_predicts_them() -> Result<()> {
    require_root!();
    let site = Site::new("")?;
    let config = site.machine.word(geofence_tests::site::CONFIG)?;
    let explain = |to: &str, more: &[&str]| {
        let words = ["explain", INSIDE, "--out", "--dst", to, "--config", &config];
        site.machine.edge.ask(&[&words, more].concat())
    };
    let answer = explain(C2, &[])?;
    ensure!(answer.code == Some(1), "{answer:?}");
    for said in [
        "drop: listed_destination, country DE (Germany)",
        "on the list c2 (line 2: 84.200.69.80/32), which blocks what goes there",
        "198.51.100.9 belongs to tenant customer",
        "counted by list",
    ] {
        ensure!(answer.stdout.contains(said), "{said}: {}", answer.stdout);
    }
    let answer = explain(WATCHED, &["--json"])?;
    let json = answer.json()?;
    ensure!(
        answer.code == Some(0) && json["action"] == "pass" && json["counted"] == true,
        "{json}"
    );
    ensure!(
        json["lists"][0]["list"] == "watched" && json["reason"].is_null(),
        "{json}"
    );
    ensure!(explain(SCANNER, &["--json"])?.json()?["counted"] == false);

    let _daemon = site.run()?;
    let mut command = geofence(&site.machine.edge.pair.edge)?;
    command.args(["events", "--follow"]);
    let mut follower = Daemon::spawn(&site.machine.edge.pair.edge, command)?;
    for number in 1..=3 {
        ensure!(!site.leaves(INSIDE, C2)?);
        follower.wait_for("the contact", PATIENCE, |follower| {
            let lines = follower.stdout().matches("list c2, out, drop").count();
            Ok((lines == number).then_some(()))
        })?;
    }
    Ok(())
}
