//! Asks the daemon of an instance.

use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::protocol::{LINE_TIMEOUT, Request};
use crate::os::instance::Instance;

/// How long an answer may take; compiling a large database takes seconds, on a busy machine many.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

/// The answer to a request.
#[derive(Debug)]
pub enum Answer<T = Value> {
    Done(T),
    /// Nothing was changed. The cause is the name of a `Cause`.
    Refused {
        cause: String,
        error: String,
    },
}

/// The line of an answer.
#[derive(Deserialize)]
struct Line<T> {
    ok: bool,
    result: Option<T>,
    cause: Option<String>,
    error: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error(
        "no geofence runs as instance {instance}: no daemon answers at {path}. `geofence run` starts one; if yours has \
         another name, give that with --instance"
    )]
    NotRunning { instance: Instance, path: String },
    #[error("the geofence of this name belongs to root: run this command as root, or with sudo")]
    Privilege,
    #[error("cannot ask the daemon at {path}: {cause}")]
    Failed { path: String, cause: std::io::Error },
    #[error(
        "geofence has not answered at {path}: it has ended, or you are neither root nor the user it runs as"
    )]
    Silence { path: String },
    #[error(
        "geofence has not answered at {path} in time. It may still carry out the request: when `geofence status` \
         answers, it shows the active policy"
    )]
    Late { path: String },
    #[error(
        "cannot read the answer from {path}: {answer:?}; the daemon may be of another version than this command"
    )]
    Foreign { path: String, answer: String },
}

impl AskError {
    fn of(cause: std::io::Error, instance: &Instance, path: String) -> Self {
        use ErrorKind::{
            BrokenPipe, ConnectionRefused, ConnectionReset, NotFound, PermissionDenied, TimedOut,
            WouldBlock,
        };
        let kind = cause.kind();
        if matches!(kind, NotFound | ConnectionRefused) {
            let instance = instance.clone();
            Self::NotRunning { instance, path }
        } else if matches!(kind, ConnectionReset | BrokenPipe) {
            Self::Silence { path }
        } else if matches!(kind, WouldBlock | TimedOut) {
            Self::Late { path }
        } else if kind == PermissionDenied {
            Self::Privilege
        } else {
            Self::Failed { path, cause }
        }
    }
}

/// Asks the daemon of an instance.
pub fn ask(instance: &Instance, request: &Request) -> Result<Answer, AskError> {
    ask_for(instance, request)
}

/// Asks the daemon of an instance as the fleet agent.
pub fn ask_agent(instance: &Instance, request: &Request) -> Result<Answer, AskError> {
    ask_at(&instance.agent_socket(), instance, request)
}

/// Asks the daemon of an instance, and reads the result as a given type.
pub fn ask_for<T: DeserializeOwned>(
    instance: &Instance,
    request: &Request,
) -> Result<Answer<T>, AskError> {
    ask_at(&instance.socket(), instance, request)
}

fn ask_at<T: DeserializeOwned>(
    socket: &Path,
    instance: &Instance,
    request: &Request,
) -> Result<Answer<T>, AskError> {
    let path = socket.display().to_string();
    let line = match exchange(socket, request) {
        Ok(line) if !line.is_empty() => line,
        Ok(_) => return Err(AskError::Silence { path }),
        Err(cause) => return Err(AskError::of(cause, instance, path)),
    };
    match serde_json::from_str(&line) {
        Ok(Line {
            ok: true,
            result: Some(result),
            ..
        }) => Ok(Answer::Done(result)),
        Ok(Line {
            ok: false,
            cause: Some(cause),
            error: Some(error),
            ..
        }) => Ok(Answer::Refused { cause, error }),
        Ok(_) | Err(_) => Err(AskError::Foreign {
            path,
            answer: line.trim_end().to_owned(),
        }),
    }
}

fn exchange(socket: &Path, request: &Request) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.set_write_timeout(Some(LINE_TIMEOUT))?;
    stream.write_all(request.line()?.as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_answer_is_named_as_late() {
        let (mine, _theirs) = UnixStream::pair().unwrap();
        mine.set_read_timeout(Some(Duration::from_millis(1)))
            .unwrap();
        let cause = BufReader::new(mine)
            .read_line(&mut String::new())
            .unwrap_err();
        let instance = Instance::default();
        let said = AskError::of(cause, &instance, "/run/x".to_owned()).to_string();
        assert!(said.contains("not answered at /run/x in time"), "{said}");
    }
}
