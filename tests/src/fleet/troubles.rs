//! Troubles of the engine and of nodes, on a fleet of few nodes: each must show, and none may change what nodes filter.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, anyhow, ensure};
use geofence_fleet::engine::{Engine as Client, EngineError};
use geofence_fleet::settings::Settings;
use tokio::runtime::Builder;

use super::engine::Engine;
use super::groups::groups;
use super::laboratory::{POLICY, row};
use super::many_bans::many_bans;
use super::nodes::{AGENT, Node, await_well};
use super::site::{SETTINGS, succeeded};
use super::small::Small;
use super::traffic::{BANNED, Seen, Traffic};
use super::unknown_node::unknown_node;
use crate::dashboard::Dashboard;
use crate::edge::PATIENCE;
use crate::fake_clock;
use crate::lab::report::Row;
use crate::lab::server::Server;
use crate::see::ask;
use crate::wait::poll;
use crate::web;

/// How large and how many the values are that fill the engine.
const VALUE: usize = 60_000;
const VALUES: u32 = 500;
/// How long an agent may take to find that its member is gone, and another one.
const MOVE_MAX: Duration = Duration::from_secs(120);
/// The range that the dashboard's queries get.
const RANGE: &str = "10s";

type Step = fn(&mut Small) -> Result<Vec<Row>>;

const STEPS: [(&str, Step); 8] = [
    ("step 10: groups", groups),
    ("step 11: downloads", downloads),
    ("step 12: the engine is out of space", out_of_space),
    ("step 13: an agent is away", away),
    ("step 14: a member is lost in a wave", lost_in_a_wave),
    ("step 15: a member is cut off", cut_off),
    ("step 16: many bans at once", many_bans),
    ("step 17: an engine without this node", unknown_node),
];

/// Runs the steps, with three members.
pub fn troubles(say: &mut dyn FnMut(&str)) -> Result<Vec<Row>> {
    say("starting a small fleet");
    let mut lab = Small::start(3, &["default", "other"])?;
    let mut rows = Vec::new();
    for (what, step) in STEPS {
        say(what);
        rows.extend(step(&mut lab).with_context(|| what.to_owned())?);
    }
    lab.stop()?;
    Ok(rows)
}

/// Frees the space of the engine's history, as docs/fleet.md says.
fn free(engine: &Engine) -> Result<()> {
    compact(engine)?;
    engine.control(0, "root", &["defrag", "--cluster"])?;
    engine.control(0, "root", &["alarm", "disarm"])?;
    Ok(())
}

fn compact(engine: &Engine) -> Result<()> {
    let words = ["get", "/", "--limit", "1", "-w", "json"];
    let said: serde_json::Value = serde_json::from_str(&engine.control(0, "root", &words)?)?;
    let revision = said["header"]["revision"].to_string();
    engine.control(0, "root", &["compact", &revision])?;
    Ok(())
}

/// A policy comes from a server that is ill at first, and another one from a server that does not have it.
fn downloads(lab: &mut Small) -> Result<Vec<Row>> {
    let begun = Instant::now();
    let node = &lab.nodes[0];
    let (certificate, key) = (lab.site.path("web.pem"), lab.site.path("web.key"));
    web::certificate(&certificate, &key)?;
    // Too large for the engine.
    let policy = POLICY.to_owned() + &"# more than 64 KiB\n".repeat(5000);
    let (served, asked) = (policy.clone(), AtomicUsize::new(0));
    let handler = move |head: &str| {
        let number = asked.fetch_add(1, Ordering::Relaxed);
        match (head.contains("/policy"), number) {
            (false, _) => web::answer("404 Not Found", "", b""),
            (true, 0) => web::answer("503 Service Unavailable", "", b""),
            (true, _) => web::answer("200 OK", "", served.as_bytes()),
        }
    };
    let port = web::serve_tls(&node.machine.namespace, &certificate, &key, handler)?.port();
    trust(lab, &certificate, port)?;
    let apply = |text: &str, name: &str| {
        let url = format!("https://{}:{port}/{name}", Ipv4Addr::LOCALHOST);
        lab.site.apply(text, &["--observe", "1s", "--url", &url])
    };
    let taken = apply(&policy, "policy")?;
    let expected = "the policy is in use";
    let seen = if taken.code == Some(0) && lab.nodes[0].configuration()? == policy {
        expected.to_owned()
    } else {
        format!("{taken:?} {}", lab.nodes[0].said())
    };
    let mut rows = vec![row(
        11,
        "a server fails at first",
        expected,
        begun,
        Ok(seen),
    )];
    let begun = Instant::now();
    let refused = apply("block = [\"RU\"]\n", "other")?;
    let is_stopped = refused.stdout.contains("STOPPED: node1: gate content:")
        && refused.stdout.contains("it answers 404");
    let expected = "gate content, and the policy before stays";
    let stays = lab.nodes[0].configuration()? == policy;
    let seen = if refused.code == Some(1) && is_stopped && stays {
        expected.to_owned()
    } else {
        format!("{refused:?}")
    };
    rows.push(row(
        11,
        "a server does not have it",
        expected,
        begun,
        Ok(seen),
    ));
    succeeded(lab.site.apply(POLICY, &["--observe", "1s"])?)?;
    Ok(rows)
}

/// Lets the first agent trust a server on this port.
fn trust(lab: &mut Small, certificate: &Path, port: u16) -> Result<()> {
    let node = &mut lab.nodes[0];
    let fleet = node.directory.join("fleet");
    fs::copy(certificate, fleet.join("web.pem"))?;
    let settings = fleet.join("fleet.toml");
    let more = format!("content-authority = \"web.pem\"\ncontent-ports = [{port}]\n");
    fs::write(&settings, fs::read_to_string(&settings)? + &more)?;
    let agent = node.agent.take().context("no agent")?;
    agent.kill(PATIENCE)?;
    node.start_agent(&lab.site)?;
    let agent = node.agent.as_mut().context("no agent")?;
    agent.wait_line("following the fleet", PATIENCE)?;
    Ok(())
}

/// The engine takes nothing new: commands say so, and nodes read on.
fn out_of_space(lab: &mut Small) -> Result<Vec<Row>> {
    let begun = Instant::now();
    lab.site.done(&["ban", "198.51.100.1", "--expires", "1h"])?;
    let settings = Settings::load(&lab.site.path("authority/fleet.toml"))?;
    let error = lab.site.hub.enter(|| {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut client = Client::connect(&settings).await?;
            for number in 0..VALUES {
                let key = format!("/geofence-content/main/list/fill/{number}");
                match client.put(&key, vec![b'x'; VALUE], None).await {
                    Ok(()) => {}
                    Err(error) => return Ok(error),
                }
            }
            anyhow::bail!("the engine takes everything")
        })
    })??;
    ensure!(matches!(error, EngineError::Full), "{error}");
    let ban = ["ban", "198.51.100.2", "--expires", "1h"];
    let refused = lab.site.operate(&ban)?;
    let way_out = ["out of space", "compact", "defrag", "alarm disarm"];
    ensure!(
        refused.code == Some(2) && way_out.iter().all(|one| refused.stderr.contains(one)),
        "{refused:?}"
    );
    let status = lab.site.operate(&["status"])?;
    ensure!(
        status.code == Some(1) && status.stdout.contains("ENGINE: the engine is out of space"),
        "{status:?}"
    );
    let expected = "commands name the way out";
    let mut rows = vec![row(
        12,
        "the engine is out of space",
        expected,
        begun,
        Ok(expected.to_owned()),
    )];
    let begun = Instant::now();
    // Nodes cannot report, and see what is removed.
    lab.site.done(&["unban", "198.51.100.1", "--wait", "0"])?;
    let expected = "nodes read on";
    let seen = lab
        .nodes
        .iter()
        .try_for_each(|node| lab.await_bans(node, &[], &["198.51.100.1"]));
    rows.push(row(
        12,
        "a ban is lifted then",
        expected,
        begun,
        seen.map(|()| expected.to_owned()),
    ));
    let begun = Instant::now();
    let words = ["del", "--prefix", "/geofence-content/main/list/fill/"];
    lab.engine.control(0, "operator", &words)?;
    free(&lab.engine)?;
    lab.site.done(&ban)?;
    let seen = await_well(&lab.site).map(|_| "all is well".to_owned());
    rows.push(row(
        12,
        "the space is freed as the guide says",
        "all is well",
        begun,
        seen,
    ));
    Ok(rows)
}

/// While an agent is away, a ban ends and another begins, and the history of both is gone.
fn away(lab: &mut Small) -> Result<Vec<Row>> {
    let begun = Instant::now();
    lab.site.done(&["ban", "198.51.100.3", "--expires", "1h"])?;
    let agent = lab.nodes[0].agent.take().context("no agent")?;
    agent.kill(PATIENCE)?;
    lab.site.done(&["unban", "198.51.100.3", "--wait", "0"])?;
    let ban = ["ban", "198.51.100.4", "--expires", "1h", "--wait", "0"];
    lab.site.done(&ban)?;
    compact(&lab.engine)?;
    lab.nodes[0].start_agent(&lab.site)?;
    let expected = "it reads everything anew";
    let seen = lab
        .await_bans(&lab.nodes[0], &["198.51.100.4"], &["198.51.100.3"])
        .and_then(|()| await_well(&lab.site));
    let seen = seen.map(|_| expected.to_owned());
    let what = "an agent returns, and the history is compacted";
    Ok(vec![row(13, what, expected, begun, seen)])
}

/// The address of the member that an agent follows.
fn followed(node: &Node) -> Option<String> {
    let said = node.said();
    let at = said.rfind("following the fleet at https://")?;
    let rest = said.get(at..)?.split("https://").nth(1)?;
    rest.split(':').next().map(str::to_owned)
}

/// The only member that an operator's command knows is lost in the middle of a wave, and returns.
fn lost_in_a_wave(lab: &mut Small) -> Result<Vec<Row>> {
    let begun = Instant::now();
    let followed = followed(&lab.nodes[0]).context("it follows no member")?;
    let mut members = lab.engine.members.iter();
    let other = members.position(|one| one.address.to_string() != followed);
    let other = other.context("there is one member")?;
    let address = lab.engine.members[other].address;
    let settings = lab.site.path(SETTINGS);
    let before = fs::read_to_string(&settings)?;
    let lines = before.lines().map(|line| {
        if line.starts_with("endpoints") {
            format!("endpoints = [\"https://{address}:2379\"]\n")
        } else {
            format!("{line}\n")
        }
    });
    fs::write(&settings, lines.collect::<String>())?;
    let (site, engine) = (&lab.site, &mut lab.engine);
    let show = || site.operate(&["wave", "show", "--json"]);
    let answer = thread::scope(|scope| {
        let policy = "block = [\"RU\", \"KP\"]\n";
        let apply = scope.spawn(|| site.apply(policy, &["--observe", "40s"]));
        let is_tried = poll(PATIENCE, || {
            let shown = show()?.json()?;
            let nodes = shown["nodes"].as_object();
            let mut progress = nodes.into_iter().flatten().map(|(_, one)| &one["progress"]);
            Ok(progress.any(|one| one == "trying").then_some(()))
        })?;
        engine.kill(other)?;
        is_tried.context("no node tries the policy")?;
        engine.restart()?;
        apply.join().map_err(|_| anyhow!("the command panicked"))?
    })?;
    fs::write(&settings, before)?;
    let expected = "the command goes on, and the policy is in use";
    let is_so = answer.code == Some(0) && answer.stdout.contains("in use on all 1 connected nodes");
    let seen = if is_so {
        expected.to_owned()
    } else {
        format!("{answer:?} {}", lab.nodes[0].said())
    };
    let what = "the member of an operator's command is lost in a wave";
    Ok(vec![row(14, what, expected, begun, Ok(seen))])
}

/// The member that an agent follows is cut off from all: the agent goes to another.
fn cut_off(lab: &mut Small) -> Result<Vec<Row>> {
    let begun = Instant::now();
    let node = &lab.nodes[0];
    let first = followed(node).context("it follows no member")?;
    let member = lab.engine.members.iter();
    let member = member
        .clone()
        .find(|one| one.address.to_string() == first)
        .with_context(|| format!("{first} is no member"))?;
    let port = |state: &str| {
        lab.site
            .hub
            .run(&["ip", "link", "set", &member.port, state])
    };
    port("down")?;
    let moved = poll(MOVE_MAX, || Ok(followed(node).filter(|now| *now != first)))?;
    let seen = moved.with_context(|| node.said()).and_then(|_| {
        let ban = ["ban", "198.51.100.5", "--expires", "1h", "--wait", "0"];
        lab.site.done(&ban)?;
        lab.await_bans(node, &["198.51.100.5"], &[])?;
        Ok("the agent follows another".to_owned())
    });
    port("up")?;
    let what = "a member is cut off from everything";
    let expected = "the agent follows another";
    Ok(vec![row(15, what, expected, begun, seen)])
}

/// The clock of a node is set by hours: what ends at a moment follows it, and is right again when the clock is.
pub fn clock() -> Result<()> {
    let mut lab = Small::start(1, &["default"])?;
    let mut node = Node::with_clock(&lab.site, 2)?;
    node.join(&lab.site, "default")?;
    node.start_agent(&lab.site)?;
    let directory = node.directory.clone();
    lab.nodes.push(node);
    await_well(&lab.site)?;
    let traffic = Traffic::start(&lab.site, &lab.nodes, Duration::from_millis(20))?;
    // A banned source has been silent on a node for longer than the traffic pauses, or has been heard.
    let silence = Duration::from_secs(2);
    let await_banned = |expected: [bool; 2]| -> Result<()> {
        let begun = SystemTime::now();
        let found = poll(PATIENCE, || {
            let seen = traffic.seen();
            let is_banned = |one: &Seen| {
                let last = one.banned.map_or(begun, |last| last.max(begun));
                last.elapsed().is_ok_and(|elapsed| elapsed > silence)
            };
            let arrives = |one: &Seen| one.banned.is_some_and(|last| last > begun);
            let mut each = seen.iter().zip(expected);
            let is_so = each.all(
                |(one, is_due)| {
                    if is_due { is_banned(one) } else { arrives(one) }
                },
            );
            Ok(is_so.then_some(()))
        })?;
        let said = || lab.nodes.iter().map(Node::said).collect::<String>();
        found.with_context(|| format!("not banned as {expected:?}: {}", said()))
    };
    await_banned([false, false])?;
    lab.site
        .done(&["ban", &BANNED.to_string(), "--expires", "1h"])?;
    await_banned([true, true])?;
    fake_clock::set(&directory, "+6h")?;
    await_banned([true, false])?;
    fake_clock::set(&directory, "+0")?;
    await_banned([true, true])?;
    // Longer than an hour is left by this clock; the end is another one, and the ban is as good.
    fake_clock::set(&directory, "-6h")?;
    await_banned([true, true])?;
    fake_clock::set(&directory, "+0")?;
    await_banned([true, true])?;
    await_well(&lab.site)?;
    let outcome = traffic.end(&lab.site)?;
    ensure!(outcome.leaked == 0, "{outcome:?}");
    lab.stop()
}

/// Every query of the fleet's dashboard has data when Prometheus scrapes agents.
pub fn dashboard() -> Result<()> {
    let lab = Small::start(1, &["default"])?;
    let namespace = &lab.nodes[0].machine.namespace;
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n- job_name: fleet\n  \
         static_configs: [{{targets: ['{AGENT}']}}]\n"
    );
    let path = |name: &str| lab.site.path(name).display().to_string();
    fs::write(lab.site.path("prometheus.yml"), config)?;
    let options = [
        format!("--config.file={}", path("prometheus.yml")),
        format!("--storage.tsdb.path={}", path("series")),
        format!("--web.listen-address={}", ask::PROMETHEUS),
    ];
    let words: Vec<&str> = options.iter().map(String::as_str).collect();
    let words = [&["prometheus"], &words[..]].concat();
    let mut prometheus = Server::start(namespace, "prometheus", lab.site.directory.path(), &words)?;
    prometheus.wait_port(namespace, ask::PROMETHEUS.parse()?)?;
    let policy = "block = [\"RU\", \"BY\"]\n";
    succeeded(lab.site.apply(policy, &["--observe", "1s"])?)?;
    // The dashboard marks the time when the fleet is frozen.
    lab.site.done(&["freeze"])?;
    let dashboard =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/grafana/geofence-fleet.json");
    let mut empty = Dashboard::read(&dashboard)?.queries;
    ensure!(empty.len() > 10, "{} queries", empty.len());
    poll(PATIENCE, || {
        let mut still = Vec::new();
        for query in empty.drain(..) {
            if ask::query(namespace, &query.over(RANGE))?.is_empty() {
                still.push(query);
            }
        }
        empty = still;
        Ok(empty.is_empty().then_some(()))
    })?;
    ensure!(empty.is_empty(), "without data: {empty:?}");
    drop(prometheus);
    lab.stop()
}
