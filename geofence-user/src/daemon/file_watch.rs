//! Reloads when a file has changed, or when entries of a list or an override of the country data have expired.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};
use tracing::info;

use super::reload::ReloadOptions;
use super::state::Daemon;

/// How often files are examined. A file that is the same twice in a row has been written completely.
const PERIOD: Duration = Duration::from_secs(1);
/// How often expired entries cause a reload at most: entries of some lists expire every second.
const EXPIRY_PERIOD: Duration = Duration::from_secs(60);

/// How often name servers are looked for.
const NAME_SERVER_PERIOD: Duration = Duration::from_secs(10);

/// Reloads when a changed file has been unchanged for a second, or when something has expired; never ends.
///
/// Polling sees through links, mounts and replaced files, which notifications do not, and costs a few system calls a
/// second. Files that a reload has rejected are not tried again until they change.
pub async fn watch_files(daemon: Arc<Daemon>) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = None;
    let mut last_expiry: Option<Instant> = None;
    let mut last_look = Instant::now();
    loop {
        ticks.tick().await;
        if daemon.is_on_trial() {
            continue;
        }
        let attempted = daemon.attempted();
        // A new file of conf.d has no stamp yet.
        let seen = attempted.now().and(daemon.source.stamps());
        let is_due = || last_expiry.is_none_or(|last| last.elapsed() >= EXPIRY_PERIOD);
        if daemon.has_expired_entries() && is_due() {
            last_expiry = Some(Instant::now());
            info!("entries of a list, or an override of the country data, have expired: reloading");
        } else if last_look.elapsed() >= NAME_SERVER_PERIOD && {
            last_look = Instant::now();
            daemon.has_other_name_servers()
        } {
            info!("a name server has started or ended: reloading");
        } else {
            let is_settled = last.replace(seen.clone()).is_some_and(|last| last == seen);
            if !is_settled || seen == attempted {
                continue;
            }
            info!(
                "{} changed: reloading",
                seen.changed_since(&attempted).join(", ")
            );
        }
        // A failure is logged and counted by the reload.
        let _ = daemon.reload(ReloadOptions::automatic()).await;
    }
}
