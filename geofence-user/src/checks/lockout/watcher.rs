//! The SSH session helper: a separate process that sees which users are logged in, for a daemon that may not.
//!
//! The kernel shows the connections of a process only to processes that may trace it (CAP_SYS_PTRACE), which is as
//! powerful as root. So the daemon gives the capability up, and a helper keeps it: a process that reads below /proc,
//! answers one question, and is denied every other use of the capability. It handles no packets and no network, and
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

/// The hidden verb that runs the program as the helper.
pub const VERB: &str = "watch-sessions";

/// How long an answer may take: the helper reads all processes of a machine that may be busy.
const PATIENCE: Duration = Duration::from_secs(5);

type Peers = BTreeSet<(SocketAddr, u16)>;

/// The helper, as the daemon sees it. It ends when its socket is closed, because the daemon may not signal it.
#[derive(Debug)]
pub struct Watcher {
    child: Child,
    stream: Mutex<BufReader<UnixStream>>,
}

impl Watcher {
    /// Starts the helper from the program that is running, even if its file was replaced meanwhile.
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

    /// The process id of the helper.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// The peers of SSH sessions, and the local ports.
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

/// Answers each line of input with a line, until the input ends. This is all that the helper does.
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
    fn every_line_is_answered_with_a_line() {
        let mut output = Vec::new();
        answer(b"\n\n".as_slice(), &mut output).unwrap();
        let output = String::from_utf8(output).unwrap();
        assert_eq!(output.lines().count(), 2);
        for line in output.lines() {
            let answer: Result<Peers, String> = serde_json::from_str(line).unwrap();
            answer.unwrap();
        }
    }
}
