//! The control socket: one line of JSON asks, one line of JSON answers.
//!
//! ```text
//! {"version":1,"command":"status"}
//! {"version":1,"ok":true,"result":{...}}
//! {"version":1,"command":"reload","force":false,"needed":[]}
//! {"version":1,"ok":false,"cause":"database","error":"..."}
//! ```
//!
//! Only root and the daemon's own user are heard, whatever the socket's mode. Control goes by no other way: HTTP reads.

use std::io::{BufRead as _, BufReader as StdBufReader, ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tracing::warn;

use crate::checks::lockout::Dependency;
use crate::daemon::runtime_exceptions::Caller;
use crate::daemon::{Change, Confirmation, Daemon, ReloadOptions};
use crate::model::failure::{Cause, Failure};
use crate::os::instance::Instance;
use crate::os::memory;
use crate::serve::connection_limit::{Busy, ConnectionLimit};

/// The version of the protocol; a request of another is answered with an error that names this one.
pub const VERSION: u32 = 1;

/// The longest line that is read.
const LINE_BYTES_MAX: u64 = 64 << 10;
/// What was made for a longer answer is given back to the system.
const LONG_BYTES: usize = 1 << 20;
/// How many are connected at once.
const ROOM: usize = 64;
/// How long a line may take to arrive, and an answer to be read.
const LINE_PATIENCE: Duration = Duration::from_secs(5);
/// How long an answer may take; compiling a large database takes seconds, on a busy machine many.
const ANSWER_PATIENCE: Duration = Duration::from_secs(120);

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "lowercase", deny_unknown_fields)]
pub enum Request {
    Status,
    Reload(ReloadOptions),
    /// Puts a policy in place until it is confirmed or the time is over.
    Apply {
        /// The file it is in; without one, the configuration's.
        file: Option<PathBuf>,
        seconds: u64,
        #[serde(default)]
        force: bool,
        #[serde(default)]
        needed: Vec<Dependency>,
    },
    Confirm,
    Revert,
    /// Changes what is granted by command.
    Exception {
        change: Change,
    },
    /// What tenants, exceptions and protections are called, which the kernel knows by number.
    Names,
    /// Packets from and to listed addresses, from this number on.
    Events {
        #[serde(default)]
        since: u64,
        /// Whether to wait for the next, where there is none.
        #[serde(default)]
        wait: bool,
    },
    /// Every exception, or one.
    Exceptions {
        id: Option<String>,
    },
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {path}: {cause}")]
pub struct ListenError {
    path: String,
    cause: std::io::Error,
}

/// Takes the socket. Whoever calls this holds the instance's lock, so what lies there is left over.
pub fn listen(instance: &Instance) -> Result<UnixListener, ListenError> {
    let path = instance.socket();
    let failed = |cause| ListenError {
        path: path.display().to_string(),
        cause,
    };
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    // The directory lets nobody else in, so there is no moment in which somebody could.
    let listener = UnixListener::bind(&path).map_err(failed)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

/// Answers until the task is dropped.
pub async fn serve(listener: UnixListener, daemon: Arc<Daemon>) {
    let mut crowd = ConnectionLimit::new(ROOM);
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let daemon = Arc::clone(&daemon);
                crowd.admit(|busy| async move {
                    // A caller who has gone needs no answer.
                    let _ = converse(stream, &daemon, &busy).await;
                });
            }
            Err(error) => {
                warn!("accepting a control connection: {error}");
                // Out of descriptors, as a rule: others have to close theirs.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(
    mut stream: UnixStream,
    daemon: &Arc<Daemon>,
    busy: &Busy,
) -> std::io::Result<()> {
    let peer = stream.peer_cred()?;
    let caller = Caller {
        user: peer.uid(),
        process: peer.pid(),
    };
    let user = caller.user;
    if user != 0 && user != nix::unistd::geteuid().as_raw() {
        warn!("user {user} may not control geofence");
        return Ok(());
    }
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = String::new();
        let mut limited = (&mut reader).take(LINE_BYTES_MAX);
        let read = limited.read_line(&mut line);
        let length = tokio::time::timeout(LINE_PATIENCE, read).await??;
        if length == 0 {
            return Ok(());
        }
        // What is cut off is no request, and what follows it is none either.
        let is_whole = line.ends_with('\n') || (length as u64) < LINE_BYTES_MAX;
        busy.set(true);
        let mut answer = if is_whole {
            answer(&line, daemon, caller).await
        } else {
            let error = format!("a request has at most {LINE_BYTES_MAX} bytes");
            refused(Cause::Request, &error)
        };
        answer.push('\n');
        tokio::time::timeout(LINE_PATIENCE, writer.write_all(answer.as_bytes())).await??;
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

fn refused(cause: Cause, error: &str) -> String {
    json!({ "version": VERSION, "ok": false, "cause": cause.name(), "error": error }).to_string()
}

async fn answer(line: &str, daemon: &Arc<Daemon>, caller: Caller) -> String {
    let request = match parse(line) {
        Ok(request) => request,
        Err(error) => return refused(Cause::Request, &error),
    };
    match carry_out(request, daemon, caller).await {
        Ok(result) => format!(r#"{{"version":{VERSION},"ok":true,"result":{result}}}"#),
        Err(failure) => refused(failure.cause, &failure.text),
    }
}

async fn carry_out(
    request: Request,
    daemon: &Arc<Daemon>,
    caller: Caller,
) -> Result<Box<RawValue>, Failure> {
    let result = match request {
        Request::Status => daemon.status().await,
        Request::Reload(options) => json!({ "generation": daemon.reload(options).await? }),
        Request::Apply {
            file,
            seconds,
            force,
            needed,
        } => {
            let options = ReloadOptions {
                force,
                required_peers: needed,
            };
            let window = Duration::from_secs(seconds);
            json!({ "generation": daemon.apply(file, window, options).await? })
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
            })
        }
        Request::Revert => json!({ "generation": daemon.revert().await? }),
        Request::Exception { change } => daemon.change_exceptions(change, caller).await?,
        Request::Names => daemon.names(),
        Request::Events { since, wait } => daemon.events_since(since, wait).await,
        Request::Exceptions { id } => return daemon.exceptions(id).await,
    };
    to_raw_value(&result).map_err(|error| Failure::new(Cause::Internal, error))
}

fn parse(line: &str) -> Result<Request, String> {
    let mut value: Value =
        serde_json::from_str(line).map_err(|error| format!("this is not JSON: {error}"))?;
    let version = value
        .as_object_mut()
        .and_then(|object| object.remove("version"));
    if version.and_then(|version| version.as_u64()) != Some(u64::from(VERSION)) {
        return Err(format!("this daemon speaks version {VERSION}"));
    }
    serde_json::from_value(value).map_err(|error| format!("this cannot be asked: {error}"))
}

/// What came of a request.
#[derive(Debug)]
pub enum Answer<T = Value> {
    Done(T),
    /// Nothing was changed; the cause is of a closed set.
    Refused {
        cause: String,
        error: String,
    },
}

/// The line that answers.
#[derive(Deserialize)]
struct Line<T> {
    ok: bool,
    result: Option<T>,
    cause: Option<String>,
    error: Option<String>,
}

/// Why nobody answered.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error(
        "no geofence runs as instance {instance}: nobody answers at {path}. `geofence run` starts one; if it has \
         another name, give that with --instance"
    )]
    NotRunning { instance: Instance, path: String },
    #[error("the geofence of this name belongs to root: run this as root, or with sudo")]
    Privilege,
    #[error("asking at {path}: {cause}")]
    Failed { path: String, cause: std::io::Error },
    #[error(
        "geofence has not answered at {path}: it has ended meanwhile, or hears only root and its own user"
    )]
    Silence { path: String },
    #[error(
        "the answer from {path} is none this program understands: {answer:?}; are both of one version?"
    )]
    Foreign { path: String, answer: String },
}

/// Asks the daemon of an instance.
pub fn ask(instance: &Instance, request: &Request) -> Result<Answer, AskError> {
    ask_for(instance, request)
}

/// The same, where the result is read as something better than any JSON.
pub fn ask_for<T: DeserializeOwned>(
    instance: &Instance,
    request: &Request,
) -> Result<Answer<T>, AskError> {
    let path = instance.socket();
    let name = path.display().to_string();
    let failed = |cause: std::io::Error| {
        let (kind, path) = (cause.kind(), name.clone());
        if kind == ErrorKind::NotFound || kind == ErrorKind::ConnectionRefused {
            let instance = instance.clone();
            AskError::NotRunning { instance, path }
        } else if kind == ErrorKind::ConnectionReset || kind == ErrorKind::BrokenPipe {
            AskError::Silence { path }
        } else if kind == ErrorKind::PermissionDenied {
            AskError::Privilege
        } else {
            AskError::Failed { path, cause }
        }
    };
    let line = exchange(&path, request).map_err(failed)?;
    if line.is_empty() {
        return Err(AskError::Silence { path: name });
    }
    let foreign = || AskError::Foreign {
        path: name.clone(),
        answer: line.trim_end().to_owned(),
    };
    let answer: Line<T> = serde_json::from_str(&line).map_err(|_| foreign())?;
    if answer.ok {
        answer.result.map(Answer::Done).ok_or_else(foreign)
    } else {
        Ok(Answer::Refused {
            cause: answer.cause.ok_or_else(foreign)?,
            error: answer.error.ok_or_else(foreign)?,
        })
    }
}

fn exchange(path: &Path, request: &Request) -> std::io::Result<String> {
    let mut stream = StdUnixStream::connect(path)?;
    stream.set_read_timeout(Some(ANSWER_PATIENCE))?;
    stream.set_write_timeout(Some(LINE_PATIENCE))?;
    let mut value = serde_json::to_value(request)?;
    value["version"] = VERSION.into();
    writeln!(stream, "{value}")?;
    let mut line = String::new();
    StdBufReader::new(stream).read_line(&mut line)?;
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_of_this_version_and_known() {
        let reload = |force| {
            Request::Reload(ReloadOptions {
                force,
                ..ReloadOptions::default()
            })
        };
        assert_eq!(
            parse(r#"{"version":1,"command":"reload"}"#),
            Ok(reload(false))
        );
        assert_eq!(
            parse(r#"{"version":1,"command":"reload","force":true}"#),
            Ok(reload(true))
        );
        for wrong in [
            "",
            "[]",
            "{",
            r#"{"command":"status"}"#,
            r#"{"version":2,"command":"status"}"#,
            r#"{"version":1,"command":"detach"}"#,
            r#"{"version":1,"command":"reload","forced":true}"#,
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
