//! Takes releases: checks the signature, fetches the content, puts it on trial, and confirms it if the node stays well.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use geofence_user::serve::control::Request;
use serde_json::Value;
use tracing::{error, info, warn};

use super::daemon::DaemonError;
use super::gate::{self, Before};
use super::shared::{Shared, Wanted, lock};
use super::store::Had;
use super::traffic::read;
use crate::backoff::within;
use crate::content::{ContentError, from_engine};
use crate::download::{Download, Tried};
use crate::keys::Subject;
use crate::node_status::{FilterStatus, Progress, ReleaseStatus};
use crate::release::{Release, Trial};

/// Something that passes by itself is tried again after this time.
const RETRY: Duration = Duration::from_secs(2);
/// How long the daemon may take to read a new list or database.
const READ_MAX: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(500);

/// Why a release was not taken.
enum Failure {
    /// The node has tried it, or refused it, and does not try again.
    Final(Progress, String),
    /// It may go later.
    Passing(String),
}

impl From<DaemonError> for Failure {
    fn from(error: DaemonError) -> Self {
        if error.is_passing() {
            return Self::Passing(error.to_string());
        }
        Self::Final(Progress::Failed, format!("gate daemon: refused: {error}"))
    }
}

/// The downloads that go on with the next try.
type Downloads = BTreeMap<Subject, Download>;

pub(super) async fn take(shared: Arc<Shared>) {
    let mut changes = shared.wanted.subscribe();
    let mut downloads = Downloads::new();
    loop {
        let wanted = changes.borrow_and_update().clone();
        let mut is_done = true;
        downloads.retain(|subject, _| wanted.releases.contains_key(subject));
        for (subject, release) in Shared::own_releases(&wanted) {
            if !is_due(&shared, &subject, &release, wanted.is_frozen) {
                forget_refused(&shared, &subject, &release);
                downloads.remove(&subject);
                continue;
            }
            let taken = take_one(&shared, &wanted, (&subject, &release), &mut downloads).await;
            if !matches!(taken, Err(Failure::Passing(_))) {
                downloads.remove(&subject);
            }
            match taken {
                Ok(why) => record(&shared, &subject, &release, Progress::Active, why),
                Err(Failure::Final(progress, why)) => {
                    error!("{subject}, revision {}: {why}", release.revision);
                    record(&shared, &subject, &release, progress, Some(why));
                }
                Err(Failure::Passing(why)) => {
                    tracing::debug!("{subject}, revision {}: {why}", release.revision);
                    is_done = false;
                }
            }
        }
        if is_done {
            // The other end of the channel is in `shared`, so it lives.
            let _ = changes.changed().await;
        } else {
            // A way back does not wait for what is tried again.
            let _ = tokio::time::timeout(RETRY, changes.changed()).await;
        }
    }
}

/// Whether the node is to take a release now.
fn is_due(shared: &Shared, subject: &Subject, release: &Release, is_frozen: bool) -> bool {
    if release.stopped.is_some() || !release.includes(&shared.node) {
        return false;
    }
    if is_frozen && !release.is_rollback {
        return false;
    }
    let done = lock(&shared.done);
    let known = done.releases.get(subject);
    known.is_none_or(|known| {
        let is_decided = matches!(
            known.progress,
            Progress::Active | Progress::Failed | Progress::Refused
        );
        known.revision != release.revision || known.sha256 != release.content.sha256 || !is_decided
    })
}

/// A release that was refused and is no longer there says nothing of this node: what it had before counts again.
fn forget_refused(shared: &Shared, subject: &Subject, release: &Release) {
    let known = lock(&shared.done).releases.get(subject).cloned();
    let is_gone = known.is_some_and(|known| {
        known.progress == Progress::Refused && known.revision != release.revision
    });
    let Had { revision, active } = lock(&shared.store).had(subject);
    if let (true, Some(sha256)) = (is_gone, active) {
        let progress = Progress::Active;
        let status = ReleaseStatus {
            revision,
            sha256,
            progress,
            why: None,
        };
        shared.advance(|done| {
            done.releases.insert(subject.clone(), status);
        });
    }
}

fn record(
    shared: &Shared,
    subject: &Subject,
    release: &Release,
    progress: Progress,
    why: Option<String>,
) {
    let status = ReleaseStatus {
        revision: release.revision,
        sha256: release.content.sha256.clone(),
        progress,
        why,
    };
    if let Err(error) = lock(&shared.store).set_release(subject, &status) {
        warn!("cannot record how far {subject} is: {error}");
    }
    shared.advance(|done| {
        done.releases.insert(subject.clone(), status);
    });
}

/// Takes a release; returns what an operator should know although it is in use.
async fn take_one(
    shared: &Shared,
    wanted: &Wanted,
    (subject, release): (&Subject, &Release),
    downloads: &mut Downloads,
) -> Result<Option<String>, Failure> {
    let mut had = lock(&shared.store).had(subject);
    release
        .check(
            &shared.settings.fleet,
            subject,
            &shared.verify_key,
            had.revision,
        )
        .map_err(|why| Failure::Final(Progress::Refused, why))?;
    had.revision = release.revision;
    set_had(shared, subject, had.clone())?;
    if had.active.as_ref() == Some(&release.content.sha256) {
        return Ok(None);
    }
    if !release.is_rollback && !downloads.contains_key(subject) {
        tokio::time::sleep(within(Duration::from_secs(shared.settings.spread))).await;
    }
    let content = fetch(shared, wanted, (subject, release), downloads).await?;
    let why = match subject {
        Subject::Policy(_) => policy(shared, subject, release, content).await,
        Subject::List(_) | Subject::Data(_) => file(shared, subject, &content).await,
    }?;
    had.active = Some(release.content.sha256.clone());
    set_had(shared, subject, had)?;
    if matches!(subject, Subject::Policy(_)) {
        let forgotten = lock(&shared.store).forget_other_policies(subject);
        forgotten
            .map_err(|error| Failure::Passing(format!("cannot record the policy: {error}")))?;
        let is_other = |one: &Subject| matches!(one, Subject::Policy(_)) && one != subject;
        shared.advance(|done| done.releases.retain(|one, _| !is_other(one)));
    }
    Ok(why)
}

/// Gets the content of a release: from the engine, or by one try to download it.
async fn fetch(
    shared: &Shared,
    wanted: &Wanted,
    (subject, release): (&Subject, &Release),
    downloads: &mut Downloads,
) -> Result<Vec<u8>, Failure> {
    if downloads.get(subject).is_some_and(Download::is_early) {
        return Err(Failure::Passing("waiting for the next try".to_owned()));
    }
    let failed = |why: String| Failure::Final(Progress::Failed, format!("gate content: {why}"));
    let mut engine = shared
        .engine()
        .ok_or_else(|| Failure::Passing("the engine is away".to_owned()))?;
    let content = &release.content;
    let found = from_engine(&mut engine, &shared.keys, subject, content).await;
    let found = found.map_err(|error| match error {
        ContentError::Engine(error) => Failure::Passing(error.to_string()),
        ContentError::TooLarge(_) | ContentError::Nowhere | ContentError::Other { .. } => {
            failed(error.to_string())
        }
    })?;
    if let Some(bytes) = found {
        return Ok(bytes);
    }
    if downloads.get(subject).is_none_or(|one| !one.is_of(content)) {
        let authority = shared.settings.content_authority.as_deref();
        let place = &shared.settings.state;
        let begun = Download::begin(content, authority, place, content.fetch_max());
        let begun = begun.map_err(|error| Failure::Passing(error.to_string()))?;
        downloads.insert(subject.clone(), begun);
    }
    let Some(download) = downloads.get_mut(subject) else {
        return Err(Failure::Passing("no download has begun".to_owned()));
    };
    let tried = tokio::select! {
        tried = download.try_once() => tried,
        () = other_releases(shared, wanted) => Tried::Passing("another release has come".to_owned()),
    };
    match tried {
        Tried::Whole(bytes) => Ok(bytes),
        Tried::Passing(why) => {
            info!(
                "{subject}, revision {}: {why}; it is tried again",
                release.revision
            );
            Err(Failure::Passing(why))
        }
        Tried::Final(why) => Err(failed(why)),
    }
}

/// Waits until there is something else to take: a download must not delay a way back.
async fn other_releases(shared: &Shared, known: &Wanted) {
    let heads = |wanted: &Wanted| {
        let all = wanted.releases.iter();
        let heads =
            all.map(|(subject, one)| (subject.clone(), one.revision, one.stopped.is_some()));
        (heads.collect::<Vec<_>>(), wanted.is_frozen)
    };
    let mut changes = shared.wanted.subscribe();
    let known = heads(known);
    // The other end of the channel is in `shared`, so it lives.
    let _ = changes.wait_for(|wanted| heads(wanted) != known).await;
}

/// Without a record of what it has had, a node would take an old release for a new one.
fn set_had(shared: &Shared, subject: &Subject, had: Had) -> Result<(), Failure> {
    let recorded = lock(&shared.store).set_had(subject, had);
    recorded.map_err(|error| Failure::Passing(format!("cannot record the revision: {error}")))
}

/// Puts a policy on trial, watches the node, and confirms it.
async fn policy(
    shared: &Shared,
    subject: &Subject,
    release: &Release,
    content: Vec<u8>,
) -> Result<Option<String>, Failure> {
    let failed = |why: String| Failure::Final(Progress::Failed, why);
    let text = String::from_utf8(content)
        .map_err(|_| failed("gate content: the policy is not UTF-8 text".to_owned()))?;
    let status = shared.daemon.ask(Request::Status).await?;
    let before = Before {
        filter: FilterStatus::of(&status),
        usual: lock(&shared.traffic).usual(),
    };
    // On a way back, what passes now may be what should not.
    let band = if release.is_rollback {
        0.0
    } else {
        release.trial.band
    };
    let trial = Trial {
        band,
        ..release.trial
    };
    let request = Request::Apply {
        file: None,
        text: Some(text),
        seconds: trial.confirm_within,
        force: false,
        required_peers: Vec::new(),
    };
    shared.daemon.ask(request).await?;
    info!("{subject}, revision {}: on trial", release.revision);
    record(shared, subject, release, Progress::Trying, None);
    let tried = policy_hash(shared).await;
    let checked = match read(&shared.daemon).await {
        Ok(start) => {
            tokio::time::sleep(Duration::from_secs(trial.observe)).await;
            gate::check(shared, subject, trial, &before, &start).await
        }
        Err(error) => Err(format!("gate daemon: {error}")),
    };
    // An operator of this machine may have ended the trial, and begun another one: that is not for the fleet to end.
    let is_own = policy_hash(shared).await == tried;
    let checked = checked.and_then(|()| match is_own {
        true => Ok(()),
        false => Err("gate trial: another policy is on trial by now".to_owned()),
    });
    if let Err(why) = checked {
        // If this does not arrive, the kernel returns by itself when the time is over.
        if is_own && let Err(error) = shared.daemon.ask(Request::Revert).await {
            warn!("{subject}: cannot end the trial, which ends at its deadline: {error}");
        }
        return Err(failed(why));
    }
    if let Err(error) = shared.daemon.ask(Request::Confirm).await {
        // The kernel confirms first, so the policy may be in force although something after that failed.
        let status = shared.daemon.ask(Request::Status).await;
        let is_active = status.is_ok_and(|status| {
            status["trial"].is_null() && status["policy_hash"].as_str() == tried.as_deref()
        });
        if !is_active {
            return Err(failed(format!("gate confirm: {error}")));
        }
        return Ok(Some(error.to_string()));
    }
    info!("{subject}, revision {}: confirmed", release.revision);
    Ok(None)
}

/// The hash of the policy that filters now; nothing if the daemon does not say.
async fn policy_hash(shared: &Shared) -> Option<String> {
    let status = shared.daemon.ask(Request::Status).await.ok()?;
    status["policy_hash"].as_str().map(str::to_owned)
}

/// Puts a list or a database in place, and waits until the daemon has read it.
async fn file(
    shared: &Shared,
    subject: &Subject,
    content: &[u8],
) -> Result<Option<String>, Failure> {
    let failed = |why: String| Failure::Final(Progress::Failed, why);
    let before = shared.daemon.ask(Request::Status).await?;
    let place = lock(&shared.store).path(subject);
    let put = lock(&shared.store).put(subject, content);
    put.map_err(|error| failed(format!("gate content: cannot write it: {error}")))?;
    let result = read_by_daemon(shared, &before).await;
    match result {
        Ok(true) => {
            info!("{subject}: in use");
            Ok(None)
        }
        Ok(false) => Ok(Some(format!(
            "the configuration of this node does not name {}",
            place.display()
        ))),
        Err(why) => {
            let restored = lock(&shared.store).restore(subject);
            if let Err(error) = restored {
                warn!("{subject}: cannot put the previous content back: {error}");
            }
            Err(failed(why))
        }
    }
}

/// Waits until the daemon has reloaded; returns whether it has.
async fn read_by_daemon(shared: &Shared, before: &Value) -> Result<bool, String> {
    let count = |status: &Value, what: &str| status["reloads"][what].as_u64().unwrap_or_default();
    let known = FilterStatus::of(before).shortfalls;
    let mut answers = false;
    let deadline = tokio::time::Instant::now() + READ_MAX;
    while tokio::time::Instant::now() < deadline {
        tokio::time::sleep(LOOK).await;
        let asked = shared.daemon.ask(Request::Status).await;
        answers = asked.is_ok();
        let Ok(status) = asked else {
            continue;
        };
        if count(&status, "failed") > count(before, "failed") {
            let why = status["reloads"]["trouble"]["text"].as_str();
            return Err(format!("gate reload: {}", why.unwrap_or("it failed")));
        }
        let shortfalls = FilterStatus::of(&status).shortfalls;
        if let Some(new) = shortfalls.iter().find(|one| !known.contains(one)) {
            return Err(format!("gate shortfalls: {new}"));
        }
        if count(&status, "succeeded") > count(before, "succeeded") {
            return Ok(true);
        }
    }
    if !answers {
        return Err("gate daemon: it has not answered since the file was put in place".to_owned());
    }
    Ok(false)
}
