//! The steps of the laboratory, in order.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::engine::Engine;
use super::laboratory::{Lab, POLICY, exception_of, released, row};
use super::nodes::{Node, await_well};
use super::site::Site;
use super::traffic::{BANNED, EXCEPTED, Outcome, Traffic};
use super::{guide, outage, poison, troubles, watchers};
use crate::edge::PATIENCE;
use crate::lab::Scale;
use crate::lab::report::Row;
use crate::wait::poll;

/// The programs that the laboratory needs, with Debian's names of their packages.
pub const PROGRAMS: [(&str, &str); 3] = [
    ("etcd", "etcd-server"),
    ("etcdctl", "etcd-client"),
    ("openssl", "openssl"),
];

type Step = fn(&mut Lab) -> Result<Vec<Row>>;

const STEPS: [(&str, Step); 9] = [
    ("step 1: the nodes join", join),
    ("step 2: an exception and a ban, everywhere", at_once),
    ("step 3: a policy in waves", waves),
    ("step 4: policies that must not spread", poison::policies),
    ("step 5: releases that were not signed", poison::releases),
    ("step 6: the engine goes away", outage::away),
    ("step 6: the engine returns", outage::returns),
    ("step 7: many watchers", many_watchers),
    ("step 8: the commands of the guide", guide::run),
];

/// Runs the laboratory; `say` hears what is done next.
pub fn fleet(scale: Scale, watchers: Option<usize>, say: &mut dyn FnMut(&str)) -> Result<Vec<Row>> {
    let (members, count, usual, period) = match scale {
        Scale::Short => (1, 5, 20, Duration::from_millis(20)),
        Scale::Whole => (3, 100, 1000, Duration::from_millis(250)),
    };
    say("starting the engine");
    let site = Site::new()?;
    let engine = Engine::start(&site, members, None)?;
    site.done(&["bootstrap", "roles"])?;
    let mut nodes = Vec::new();
    for number in 1..=count {
        say(&format!("starting node {number} of {count}"));
        let node = Node::start(&site, number)?;
        node.join(&site, "default")?;
        nodes.push(node);
    }
    let traffic = Traffic::start(&site, &nodes, period)?;
    let mut lab = Lab {
        site,
        engine,
        nodes,
        traffic,
        old_release: None,
        scale,
        watchers: watchers.unwrap_or(usual),
    };
    let mut rows = Vec::new();
    for (what, step) in STEPS {
        say(what);
        rows.extend(step(&mut lab).with_context(|| what.to_owned())?);
    }
    say("step 9: what became of the packets");
    let begun = Instant::now();
    let Lab {
        site,
        engine,
        nodes,
        traffic,
        ..
    } = lab;
    let outcome = traffic.end(&site);
    rows.push(packets(begun, outcome));
    for node in nodes {
        node.stop()?;
    }
    engine.stop()?;
    if matches!(scale, Scale::Whole) {
        rows.extend(troubles::troubles(say)?);
    }
    Ok(rows)
}

fn packets(begun: Instant, outcome: Result<Outcome>) -> Row {
    let what = match &outcome {
        Ok(outcome) => format!(
            "{} numbered packets, and {} from a blocked country, throughout ({} did not reach a filter)",
            outcome.sent, outcome.flooded, outcome.overrun
        ),
        Err(_) => "numbered packets, and others from a blocked country, throughout".to_owned(),
    };
    let seen = outcome.map(|one| {
        let lost = one.lost.saturating_sub(one.overrun);
        format!("{} leaked, {lost} lost", one.leaked)
    });
    row(9, &what, "0 leaked, 0 lost", begun, seen)
}

fn join(lab: &mut Lab) -> Result<Vec<Row>> {
    let begun = Instant::now();
    for node in &mut lab.nodes {
        node.start_agent(&lab.site)?;
    }
    let expected = "all nodes are well";
    let joined = await_well(&lab.site).map(|_| expected.to_owned());
    let what = format!(
        "{} nodes, {} members",
        lab.nodes.len(),
        lab.engine.members.len()
    );
    let joined = row(1, &what, expected, begun, joined);
    let begun = Instant::now();
    let written = node_writes(lab);
    let what = "a node writes an exception into the engine";
    let written = row(1, what, "refused", begun, written);
    let begun = Instant::now();
    let asked = stranger_asks(&lab.nodes[0]);
    let what = "another user asks on the agent's socket";
    let asked = row(1, what, "no answer", begun, asked);
    Ok(vec![joined, written, asked])
}

/// The daemon must serve the agent's user only, on a socket that everybody can reach.
fn stranger_asks(node: &Node) -> Result<String> {
    let instance = node.machine.namespace.instance();
    let socket = Path::new("/run").join(instance).join("agent.sock");
    let mut stream = UnixStream::connect(&socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // The daemon may hang up before it is asked.
    let _ = stream.write_all(b"{\"version\":1,\"command\":\"status\"}\n");
    let mut said = String::new();
    let read = stream.read_to_string(&mut said);
    ensure!(said.is_empty(), "{said}");
    match read {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => Err(error.into()),
        _ => Ok("no answer".to_owned()),
    }
}

/// The engine must refuse what a node may not write, and take what the operator may.
fn node_writes(lab: &Lab) -> Result<String> {
    let own = lab.site.path("node1/fleet");
    for name in ["node1.pem", "node1.key"] {
        fs::copy(own.join(name), lab.site.path("authority").join(name))?;
    }
    let write = |who: &str, key: &str| lab.engine.control(0, who, &["put", key, "{}"]);
    for key in ["exceptions/fleet-x", "policy/default", "freeze"] {
        let error = write("node1", &format!("/geofence/main/{key}"));
        let error = error
            .err()
            .context("the engine lets a node write")?
            .to_string();
        ensure!(error.contains("permission denied"), "{error}");
    }
    let other = write("node1", "/geofence-node/main/status/node2");
    ensure!(other.is_err(), "a node writes what another one is");
    ensure!(
        lab.engine.replicates_with("peer-e1")? && !lab.engine.replicates_with("node1")?,
        "the members' own port takes a node for a member, or no member"
    );
    Ok("refused".to_owned())
}

/// Grants an exception and bans, and measures how long each takes to the first packet that every node judges by it.
fn at_once(lab: &mut Lab) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let source = EXCEPTED.to_string();
    let words = exception_of("lab", &source);
    rows.push(measure(lab, "an exception", &words, |lab| {
        let seen = lab.traffic.seen();
        let times: Vec<_> = seen.iter().filter_map(|one| one.excepted).collect();
        (times.len() == lab.nodes.len()).then_some(times)
    })?);
    let source = BANNED.to_string();
    rows.push(measure(
        lab,
        "a ban",
        &["ban", &source, "--wait", "0"],
        |lab| {
            // A node has the ban when the source has been silent for longer than the traffic pauses.
            let silence = Duration::from_secs(2);
            let times: Vec<_> = lab
                .traffic
                .seen()
                .iter()
                .filter_map(|one| one.banned)
                .collect();
            let is_silent = |at: &SystemTime| at.elapsed().is_ok_and(|elapsed| elapsed > silence);
            let are_all = times.len() == lab.nodes.len() && times.iter().all(is_silent);
            are_all.then_some(times)
        },
    )?);
    let begun = Instant::now();
    lab.site.done(&["exception", "remove", "lab"])?;
    lab.site.done(&["unban", &source])?;
    let listed = [
        lab.site.done(&["exception", "list", "--json"])?.json()?,
        lab.site.done(&["bans", "--json"])?.json()?,
    ];
    let seen = if listed[0]["exceptions"] == Value::Array(Vec::new())
        && listed[1]["bans"] == Value::Array(Vec::new())
    {
        Ok("on every node".to_owned())
    } else {
        Ok(format!("{listed:?}"))
    };
    rows.push(row(2, "both are removed", "on every node", begun, seen));
    Ok(rows)
}

fn measure(
    lab: &Lab,
    what: &str,
    words: &[&str],
    times: impl Fn(&Lab) -> Option<Vec<SystemTime>>,
) -> Result<Row> {
    let expected = "on every node";
    lab.traffic.reset();
    let (begun, start) = (Instant::now(), SystemTime::now());
    lab.site.done(words)?;
    let found = poll(PATIENCE, || Ok(times(lab)))?;
    let seen = found
        .with_context(|| "not on every node".to_owned())
        .map(|times| {
            let mut took: Vec<_> = times
                .into_iter()
                .map(|at| at.duration_since(start).unwrap_or_default())
                .collect();
            took.sort_unstable();
            let at = |share: usize| took[(took.len() * share / 100).min(took.len() - 1)];
            format!("on every node: median {:.1?}, p99 {:.1?}", at(50), at(99))
        });
    let mut row = row(2, what, expected, begun, seen);
    row.ok = row.seen.starts_with(expected);
    Ok(row)
}

/// Releases a policy twice, and returns to it.
fn waves(lab: &mut Lab) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (what, policy, words) in [
        ("a policy to all nodes, in waves", POLICY, true),
        ("another one", "block = [\"RU\", \"CN\"]\n", true),
        ("back to the one before", POLICY, false),
    ] {
        let begun = Instant::now();
        let expected = "in use on every node";
        let seen = released(lab, policy, words).map(|()| expected.to_owned());
        rows.push(row(3, what, expected, begun, seen));
        if lab.old_release.is_none() {
            let words = ["get", "/geofence/main/policy/default", "--print-value-only"];
            let text = lab.engine.control(0, "operator", &words)?;
            lab.old_release = Some(serde_json::from_str(text.trim())?);
        }
    }
    Ok(rows)
}

fn many_watchers(lab: &mut Lab) -> Result<Vec<Row>> {
    let count = lab.watchers;
    let begun = Instant::now();
    let what = format!("a change to {count} watchers");
    let mut row = row(7, &what, "to the last", begun, watchers::watch(lab, count));
    row.ok = row.seen.starts_with("to the last");
    Ok(vec![row])
}
