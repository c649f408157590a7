//! Agents that only watch, as many as there would be in a large fleet.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use geofence_fleet::engine::Engine;
use geofence_fleet::keys::Keys;
use geofence_fleet::settings::Settings;
use tokio::runtime::Builder;

use super::laboratory::Lab;

/// How long all may take to connect, and to see a change.
const PATIENCE: Duration = Duration::from_secs(240);
const KEY: &str = "bans/ban-198.51.100.77";

/// Connects watchers, changes a key several times, and says how long each change took to the last watcher.
pub(super) fn watch(lab: &Lab, count: usize) -> Result<String> {
    let settings = Settings::load(&lab.site.path("authority/fleet.toml"))?;
    let keys = Keys::of(&settings.fleet);
    let (seen, mut arrivals) = tokio::sync::mpsc::unbounded_channel::<(u64, Instant)>();
    lab.site.hub.enter(|| {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut tasks = Vec::new();
            for _ in 0..count {
                let mut engine = Engine::connect(&settings).await?;
                let (_, revision) = engine.list_range(&keys.shared()).await?;
                let mut watch = engine.watch(&keys.shared(), revision).await?;
                let seen = seen.clone();
                let key = format!("{}{KEY}", keys.watched());
                tasks.push(tokio::spawn(async move {
                    let _engine = engine;
                    while let Ok((changes, _)) = watch.next().await {
                        for change in changes.into_iter().filter(|one| one.key == key) {
                            let number = change.value.and_then(|value| number(&value));
                            if let Some(number) = number {
                                let _ = seen.send((number, Instant::now()));
                            }
                        }
                    }
                }));
            }
            let mut engine = Engine::connect(&settings).await?;
            let mut last = Vec::new();
            for round in 1..=11_u64 {
                let value = format!("{{\"number\":{round}}}");
                let begun = Instant::now();
                let key = format!("{}{KEY}", keys.watched());
                engine.put(&key, value.into_bytes(), None).await?;
                let mut missing = count;
                let mut slowest = begun;
                while missing > 0 {
                    let next = tokio::time::timeout(PATIENCE, arrivals.recv()).await;
                    let (number, at) = next
                        .context("not all watchers have seen it")?
                        .context("no watcher")?;
                    if number == round {
                        missing -= 1;
                        slowest = slowest.max(at);
                    }
                }
                last.push(slowest.duration_since(begun));
            }
            let key = format!("{}{KEY}", keys.watched());
            engine.delete(&key).await?;
            for task in tasks {
                task.abort();
            }
            last.sort_unstable();
            let (least, median, most) = (last[0], last[last.len() / 2], last[last.len() - 1]);
            // Beside other tests, programs delay some of the rounds.
            let judged = lab.scale_of(least, most);
            ensure!(
                judged < Duration::from_millis(700),
                "to the last: {least:?} to {most:?}"
            );
            anyhow::Ok(format!(
                "to the last: median {median:.0?}, at most {most:.0?}"
            ))
        })
    })?
}

fn number(value: &[u8]) -> Option<u64> {
    let value: serde_json::Value = serde_json::from_slice(value).ok()?;
    value["number"].as_u64()
}
