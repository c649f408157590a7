//! An agent that was away finds many bans at once, and has the daemon make them with few images.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use geofence_fleet::engine::Engine as Client;
use geofence_fleet::settings::Settings;
use geofence_user::config::ExceptionSpec;
use serde_json::Value;
use tokio::runtime::Builder;

use super::laboratory::row;
use super::nodes::{Node, await_well};
use super::small::Small;
use crate::daemon::geofence;
use crate::edge::PATIENCE;
use crate::lab::report::Row;
use crate::wait::poll;

/// More than the agent asks for at once.
const BANS: usize = 300;
/// How long it takes until a put that failed for want of a leader is tried again.
const PAUSE: Duration = Duration::from_millis(100);
/// How many images the daemon may compile for them.
const IMAGES_MAX: u64 = 10;

/// While an agent is away, many bans are made; when it is back, they are lifted.
pub(super) fn many_bans(lab: &mut Small) -> Result<Vec<Row>> {
    let before = lab.nodes[0].bans()?.len();
    let agent = lab.nodes[0].agent.take().context("no agent")?;
    agent.kill(PATIENCE)?;
    write(lab)?;
    let begun = Instant::now();
    let first = generation(&lab.nodes[0])?;
    lab.nodes[0].start_agent(&lab.site)?;
    let seen = await_bans(&lab.nodes[0], before + BANS, first);
    let expected = "few images";
    let what = format!("an agent returns to {BANS} bans");
    let made = row(16, &what, expected, begun, seen);
    let begun = Instant::now();
    let first = generation(&lab.nodes[0])?;
    let words = ["del", "--prefix", "/geofence/main/bans/ban-84.200."];
    lab.engine.control(0, "operator", &words)?;
    let seen = await_bans(&lab.nodes[0], before, first);
    let seen = seen.and_then(|seen| await_well(&lab.site).map(|_| seen));
    let lifted = row(16, "all of them are lifted", expected, begun, seen);
    Ok(vec![made, lifted])
}

/// Writes the bans into the engine.
fn write(lab: &Small) -> Result<()> {
    let settings = Settings::load(&lab.site.path("authority/fleet.toml"))?;
    lab.site.hub.enter(|| {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut client = Client::connect(&settings).await?;
            for number in 0..BANS {
                let source = format!("84.200.{}.{}", number / 200, number % 200);
                let id = format!("ban-{source}");
                let ban = ExceptionSpec {
                    id: id.clone(),
                    from: vec![source],
                    to: vec!["any".to_owned()],
                    owner: "laboratory".to_owned(),
                    reason: "one of many".to_owned(),
                    until: Some("2099-01-01T00:00:00Z".to_owned()),
                    action: Some("drop".to_owned()),
                    ..ExceptionSpec::default()
                };
                let key = format!("/geofence/main/bans/{id}");
                let value = serde_json::to_vec(&ban)?;
                // The members may be choosing a leader after the step before.
                let deadline = Instant::now() + PATIENCE;
                while let Err(error) = client.put(&key, value.clone(), None).await {
                    ensure!(error.is_away() && Instant::now() < deadline, "{error}");
                    tokio::time::sleep(PAUSE).await;
                }
            }
            Ok(())
        })
    })?
}

/// Waits until a node has so many bans; fails if it has compiled more images for that than it may.
fn await_bans(node: &Node, count: usize, first: u64) -> Result<String> {
    let mut seen = 0;
    let all = poll(PATIENCE, || {
        seen = node.bans()?.len();
        Ok((seen == count).then_some(()))
    })?;
    all.with_context(|| format!("{seen} of {count} bans; {}", node.said()))?;
    let images = generation(node)? - first;
    ensure!(images <= IMAGES_MAX, "{images} images were compiled");
    Ok("few images".to_owned())
}

fn generation(node: &Node) -> Result<u64> {
    let output = geofence(&node.machine.namespace)?
        .args(["status", "--json"])
        .output()?;
    let status: Value = serde_json::from_slice(&output.stdout)?;
    status["generation"].as_u64().context("no generation")
}
