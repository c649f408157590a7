//! The daemon's side of the control socket.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Mutex, MutexGuard, Semaphore, SemaphorePermit};
use tracing::{info, warn};

use super::door::{Door, ListenError, Right};
use super::protocol::{LINE_TIMEOUT, Request, VERSION};
use crate::daemon::runtime_exceptions::Caller;
use crate::daemon::{Backoff, Confirmation, Daemon, ReloadOptions, Replacement};
use crate::model::failure::{Cause, Failure};
use crate::model::shortfall::Shortfall;
use crate::os::memory;
use crate::os::restart;
use crate::serve::connection_limit::{Busy, ConnectionLimit};

/// After an answer longer than this, its memory is returned to the system.
const LONG_BYTES: usize = 1 << 20;
/// How many clients of a socket may wait for list events.
const FOLLOWERS_MAX: usize = 32;
/// How many of them may wait until an earlier change of the policy has ended. The other places are for commands that
/// ask, and for those that end a trial.
const CHANGES_MAX: usize = 24;

/// How often it is examined whether the socket is still in its place.
const WATCH_PERIOD: Duration = Duration::from_secs(1);

/// Tries until there is a socket, and answers requests until the task is dropped.
pub async fn listen_and_serve(
    mut socket: Result<UnixListener, ListenError>,
    door: Door,
    daemon: Arc<Daemon>,
) {
    let mut backoff = Backoff::default();
    loop {
        match socket {
            Ok(listener) => {
                if daemon.make_good(door.part()) {
                    info!("the socket {} answers", door.path().display());
                }
                let watched = watch_path(&door, &daemon);
                tokio::select! {
                    () = serve(listener, &door, Arc::clone(&daemon)) => return,
                    () = watched => {}
                }
                socket = door.listen();
            }
            Err(error) => {
                daemon.fall_short(
                    door.part(),
                    format!(
                        "{}: {error}. geofence keeps trying. If the directory was recreated after the start, geofence \
                         may not write to it: restart geofence with {}, which leaves no gap",
                        door.loss(),
                        restart::how()
                    ),
                );
                tokio::time::sleep(backoff.pause()).await;
                socket = door.listen();
            }
        }
    }
}

/// Waits until the socket can no longer be found by its path.
async fn watch_path(door: &Door, daemon: &Daemon) {
    let inode = |path: &Path| {
        std::fs::symlink_metadata(path)
            .map(|facts| facts.ino())
            .ok()
    };
    let path = &door.path();
    let own = inode(path);
    while own.is_some() && inode(path) == own {
        tokio::time::sleep(WATCH_PERIOD).await;
    }
    daemon.fall_short(
        door.part(),
        format!(
            "{}: {} was removed. If geofence cannot recreate it, restart geofence with {}; the filter stays attached \
             meanwhile",
            door.loss(),
            path.display(),
            restart::how()
        ),
    );
}

/// The places of requests that may wait for long.
struct Places {
    followers: Semaphore,
    changes: Semaphore,
    /// One of them at a time waits for the daemon, so that the end of a trial has one before it at most.
    turn: Mutex<()>,
}

impl Places {
    /// Waits until the changes that were asked for before have ended.
    async fn turn(&self) -> Result<(SemaphorePermit<'_>, MutexGuard<'_, ()>), Failure> {
        let place = place(
            &self.changes,
            CHANGES_MAX,
            "for the end of an earlier change",
        )?;
        Ok((place, self.turn.lock().await))
    }
}

/// How often a message says that strangers have connected.
const STRANGERS_PERIOD: Duration = Duration::from_secs(60);

/// Users who may not ask here: each has been refused, and a message a minute names one of them.
#[derive(Default)]
struct Strangers {
    named: Option<Instant>,
    unnamed: u64,
}

impl Strangers {
    fn refuse(&mut self, user: u32, door: &Door) {
        if self.named.is_some_and(|at| at.elapsed() < STRANGERS_PERIOD) {
            self.unnamed = self.unnamed.saturating_add(1);
            return;
        }
        let before = match self.unnamed {
            0 => String::new(),
            count => format!("; {count} more were refused before"),
        };
        warn!("user {user} may not {}{before}", door.purpose());
        *self = Self {
            named: Some(Instant::now()),
            unnamed: 0,
        };
    }
}

/// Who asks, and for what this may be; nothing if the client is gone or a stranger.
fn admitted(
    stream: &UnixStream,
    door: &Door,
    strangers: &mut Strangers,
) -> Option<(Caller, Right)> {
    let peer = stream.peer_cred().ok()?;
    let caller = Caller {
        user: peer.uid(),
        process: peer.pid(),
    };
    let right = door.right(caller.user);
    if right.is_none() {
        strangers.refuse(caller.user, door);
    }
    right.map(|right| (caller, right))
}

/// Answers requests until the task is dropped.
async fn serve(listener: UnixListener, door: &Door, daemon: Arc<Daemon>) {
    let mut connections = ConnectionLimit::new(door.connections_max());
    let mut strangers = Strangers::default();
    let places = Arc::new(Places {
        followers: Semaphore::new(FOLLOWERS_MAX),
        changes: Semaphore::new(CHANGES_MAX),
        turn: Mutex::new(()),
    });
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // A stranger takes no place: any user can connect to a socket that is open to all.
                let Some(who) = admitted(&stream, door, &mut strangers) else {
                    continue;
                };
                let daemon = Arc::clone(&daemon);
                let places = Arc::clone(&places);
                let line_bytes_max = door.line_bytes_max();
                connections.admit(|busy| async move {
                    // A client that has disconnected needs no answer.
                    let _ =
                        answer_client(stream, who, line_bytes_max, &daemon, &places, &busy).await;
                });
            }
            Err(error) => {
                warn!("cannot accept a control connection: {error}");
                // The usual cause is a lack of file descriptors, until other connections are closed.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer_client(
    mut stream: UnixStream,
    who: (Caller, Right),
    line_bytes_max: u64,
    daemon: &Arc<Daemon>,
    places: &Places,
    busy: &Busy,
) -> std::io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = String::new();
        let mut limited = (&mut reader).take(line_bytes_max);
        let read = limited.read_line(&mut line);
        let length = tokio::time::timeout(LINE_TIMEOUT, read).await??;
        if length == 0 {
            return Ok(());
        }
        // A line that was cut off is not a request, and neither is the rest of it.
        let is_whole = line.ends_with('\n') || (length as u64) < line_bytes_max;
        busy.set(true);
        let mut answer = if is_whole {
            answer(&line, daemon, places, who).await
        } else {
            let error = format!("a request has at most {line_bytes_max} bytes");
            refused(Cause::Request, &error)
        };
        answer.push('\n');
        tokio::time::timeout(LINE_TIMEOUT, writer.write_all(answer.as_bytes())).await??;
        busy.set(false);
        if answer.len() > LONG_BYTES {
            drop(answer);
            memory::give_back();
        }
        if !is_whole {
            return Ok(());
        }
    }
}

/// What the policy that is active now lacks of the one that was asked for.
fn shortfalls(daemon: &Daemon) -> Vec<Value> {
    let all = daemon.change_shortfalls();
    all.iter().map(Shortfall::to_json).collect()
}

fn refused(cause: Cause, error: &str) -> String {
    json!({ "version": VERSION, "ok": false, "cause": cause.name(), "error": error }).to_string()
}

async fn answer(
    line: &str,
    daemon: &Arc<Daemon>,
    places: &Places,
    (caller, right): (Caller, Right),
) -> String {
    let request = Request::parse(line);
    let allowed = request.and_then(|request| right.check(&request).map(|()| request));
    let request = match allowed {
        Ok(request) => request,
        Err(error) => return refused(Cause::Request, &error),
    };
    match carry_out(request, daemon, places, caller).await {
        Ok(result) => format!(r#"{{"version":{VERSION},"ok":true,"result":{result}}}"#),
        Err(failure) => refused(failure.cause, &failure.text),
    }
}

async fn carry_out(
    request: Request,
    daemon: &Arc<Daemon>,
    places: &Places,
    caller: Caller,
) -> Result<Box<RawValue>, Failure> {
    let is_change = matches!(
        request,
        Request::Reload(_)
            | Request::Apply { .. }
            | Request::Exception { .. }
            | Request::Changes { .. }
    );
    let _turn = if is_change {
        Some(places.turn().await?)
    } else {
        None
    };
    let result = match request {
        Request::Status => daemon.status().await,
        Request::Reload(options) => {
            let generation = daemon.reload(options).await?;
            let unprotected = daemon.gaps().await;
            json!({
                "generation": generation,
                "shortfalls": shortfalls(daemon),
                "unprotected": unprotected,
            })
        }
        Request::Apply {
            file,
            text,
            seconds,
            force,
            required_peers,
        } => {
            let source = match (file, text) {
                (Some(_), Some(_)) => {
                    let text = "a policy comes from a file or as a text, not as both";
                    return Err(Failure::new(Cause::Request, text));
                }
                (Some(file), None) => Some(Replacement::File(file)),
                (None, text) => text.map(Replacement::Text),
            };
            let options = ReloadOptions {
                force,
                required_peers,
                ..ReloadOptions::default()
            };
            let window = Duration::from_secs(seconds);
            let generation = daemon.apply(source, window, options).await?;
            let unprotected = daemon.gaps().await;
            json!({
                "generation": generation,
                "seconds": seconds,
                "shortfalls": shortfalls(daemon),
                "unprotected": unprotected,
            })
        }
        Request::Confirm => {
            let Confirmation {
                generation,
                replaced,
            } = daemon.confirm().await?;
            json!({
                "generation": generation,
                "configuration": replaced.as_ref().map(|(path, _)| path),
                "before": replaced.as_ref().map(|(_, before)| before),
                "unprotected": daemon.gaps().await,
            })
        }
        Request::Revert => {
            let generation = daemon.revert().await?;
            json!({ "generation": generation, "unprotected": daemon.gaps().await })
        }
        Request::Exception { change, lasts } => {
            let lasts = lasts.map(Duration::from_secs);
            daemon.change_exception(change, lasts, caller).await?
        }
        Request::Changes { changes } => daemon.change_exceptions(changes, caller).await?,
        Request::Names => daemon.names(),
        Request::Policy => return daemon.policy().await,
        Request::Events { since, wait } => {
            let _place = if wait {
                Some(place(&places.followers, FOLLOWERS_MAX, "for events")?)
            } else {
                None
            };
            daemon.events_since(since, wait).await
        }
        Request::Counters => daemon.counters()?,
        Request::Report { since } => daemon.report(since)?,
        Request::Observed {
            since,
            drops,
            follow,
        } => {
            let _place = if follow {
                Some(place(&places.followers, FOLLOWERS_MAX, "for events")?)
            } else {
                None
            };
            daemon.all_since([since, drops], follow).await?
        }
        Request::Capture(request) => daemon.start_capture(request)?,
        Request::Captured { session, end: true } => daemon.end_capture(session).await?,
        Request::Captured {
            session,
            end: false,
        } => daemon.captured(session).await?,
        Request::Exceptions { id, bans } => return daemon.exceptions(id, bans).await,
    };
    to_raw_value(&result).map_err(|error| Failure::new(Cause::Internal, error))
}

/// A place among the clients that wait for something.
fn place<'a>(
    places: &'a Semaphore,
    max: usize,
    what: &str,
) -> Result<SemaphorePermit<'a>, Failure> {
    places.try_acquire().map_err(|_| {
        let text = format!("{max} clients already wait {what}; try again when one of them is done");
        Failure::new(Cause::Request, text)
    })
}
