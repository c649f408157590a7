//! A process of its own that sees who is logged in over SSH, for a daemon that may not.
//!
//! Which process holds which connection is shown to whoever may trace it, and tracing is everything that root is. So
//! the daemon gives that up, and a helper keeps it: a process that reads below /proc, answers one question, and is
//! refused whatever else one could do with the capability. It has nothing to do with packets or with the network, and
//! ends with the daemon.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::sync::Mutex;

use super::sockets;

/// The verb by which the program runs as the helper.
pub const VERB: &str = "watch-sessions";

/// How long an answer may take: a walk over all processes of a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);

type Peers = BTreeSet<(SocketAddr, u16)>;

/// The helper, as the daemon sees it. It ends when its socket does, so nobody has to end it; a daemon that may
/// signal nobody could not.
#[derive(Debug)]
pub struct Watcher {
    child: Child,
    stream: Mutex<BufReader<UnixStream>>,
}

impl Watcher {
    /// Starts the helper, from this very program, also if another lies in its place by now.
    pub fn start() -> io::Result<Self> {
        let (ours, theirs) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let theirs: OwnedFd = theirs.into();
        let child = Command::new("/proc/self/exe")
            .arg(VERB)
            .stdin(Stdio::from(theirs.try_clone()?))
            .stdout(Stdio::from(theirs))
            .spawn()?;
        Ok(Self {
            child,
            stream: Mutex::new(BufReader::new(UnixStream::from_std(ours)?)),
        })
    }

    /// The helper's process.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// The other ends of SSH sessions, and the ports they came to.
    pub(super) async fn peers(&self) -> io::Result<Peers> {
        let mut stream = self.stream.lock().await;
        let exchange = async {
            stream.get_mut().write_all(b"\n").await?;
            let mut line = String::new();
            stream.read_line(&mut line).await?;
            io::Result::Ok(line)
        };
        let line = tokio::time::timeout(PATIENCE, exchange).await??;
        if line.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let answer: Result<Peers, String> = serde_json::from_str(&line)?;
        answer.map_err(io::Error::other)
    }
}

/// Answers one line for each that comes, until there are no more: the helper's whole life.
pub fn answer(input: impl BufRead, mut output: impl Write) -> io::Result<()> {
    for line in input.lines() {
        line?;
        let peers = sockets::ssh_peers().map_err(|error| error.to_string());
        serde_json::to_writer(&mut output, &peers)?;
        output.write_all(b"\n")?;
        output.flush()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_question_is_answered_with_a_line() {
        let mut said = Vec::new();
        answer(b"\n\n".as_slice(), &mut said).unwrap();
        let said = String::from_utf8(said).unwrap();
        assert_eq!(said.lines().count(), 2);
        for line in said.lines() {
            let answer: Result<Peers, String> = serde_json::from_str(line).unwrap();
            answer.unwrap();
        }
    }
}
