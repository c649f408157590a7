//! A machine with one protected interface: the namespaces, both ends of the link, and what can be asked of a geofence
//! there.
//!
//! Suites about the life of a filter use it: they start, kill and restart daemons and see what passes meanwhile.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::daemon::{Daemon, geofence};
use crate::frames::between;
use crate::http;
use crate::link::{Link, Pair};
use crate::namespace::Namespace;
use crate::packet_socket::PacketSocket;
use crate::probe::crosses;

/// Where a geofence of these suites listens.
pub const LISTEN: &str = "127.0.0.1:10317";

/// How long a start, a reload or a packet may take. On a quiet machine none takes a second; this is for a busy one, and
/// for an emulated one beside other tests.
pub const PATIENCE: Duration = Duration::from_secs(240);

/// A protected machine and a peer that calls it.
#[derive(Debug)]
pub struct Edge {
    /// The link, and the namespaces at its ends.
    pub pair: Pair,
    outside: PacketSocket,
    inside: PacketSocket,
}

/// How a command of geofence ended, and what it said.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The exit code.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Answer {
    /// Its standard output as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.stdout).with_context(|| format!("{self:?} is not JSON"))
    }
}

impl Edge {
    /// Makes the namespaces and the link; nothing filters yet.
    pub fn new() -> Result<Self> {
        Self::on(&Link::default())
    }

    /// The same, with a link of another kind.
    pub fn on(link: &Link) -> Result<Self> {
        Self::of(link.connect(&Namespace::new()?, &Namespace::new()?)?)
    }

    /// The same, with a link that there is already.
    pub fn of(pair: Pair) -> Result<Self> {
        let (peer, edge) = (&pair.peer, &pair.edge);
        Ok(Self {
            outside: PacketSocket::open(peer, &pair.peer_interface)?,
            inside: PacketSocket::open(edge, &pair.edge_interface)?,
            pair,
        })
    }

    /// The protected interface.
    #[must_use]
    pub fn interface(&self) -> &str {
        &self.pair.edge_interface
    }

    /// Starts a daemon and waits until it is healthy. It protects `edge0` unless other interfaces are named.
    pub fn run(&self, more: &[&str]) -> Result<Daemon> {
        let mut words = vec!["--listen", LISTEN];
        if !more.contains(&"--interface") {
            words.extend(["--interface", self.interface()]);
        }
        words.extend(more);
        let mut daemon = Daemon::run(&self.pair.edge, &words, &[])?;
        daemon.wait_healthy(listen()?, PATIENCE)?;
        Ok(daemon)
    }

    /// Runs a command of geofence to its end.
    pub fn ask<S: AsRef<OsStr>>(&self, words: &[S]) -> Result<Answer> {
        let output = geofence(&self.pair.edge)?.args(words).output()?;
        Ok(Answer {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout)?,
            stderr: String::from_utf8(output.stderr)?,
        })
    }

    /// Begins a request in the daemon's own protocol, whose answer is waited for so long.
    pub fn begin_request(&self, request: &str, patience: Duration) -> Result<UnixStream> {
        let mut stream = UnixStream::connect(self.socket())?;
        stream.set_read_timeout(Some(patience))?;
        writeln!(stream, "{request}")?;
        Ok(stream)
    }

    /// Makes a request in the daemon's own protocol, past the checks of the client; returns the line of the answer.
    pub fn request(&self, request: &str, patience: Duration) -> Result<String> {
        let mut answer = String::new();
        BufReader::new(self.begin_request(request, patience)?).read_line(&mut answer)?;
        Ok(answer)
    }

    /// Whether a connection from this address to SSH gets in.
    pub fn passes(&self, source: &str) -> Result<bool> {
        let source: IpAddr = source.parse()?;
        let destination = self.pair.edge_address_for(source);
        let frame = between(source, destination).tcp(40_000, 22).syn().build();
        crosses(&self.outside, &self.inside, &frame, PATIENCE)
    }

    /// Whether a frame crosses the link after it was down, as at a boot. Nothing may filter yet.
    pub fn carries(&self, patience: Duration) -> Result<bool> {
        for state in ["down", "up"] {
            let words = ["ip", "link", "set", self.interface(), state];
            self.pair.edge.run(&words)?;
        }
        self.pair.wait_up()?;
        self.pair.address(false)?;
        let (source, destination) = (IpAddr::from([192, 0, 2, 2]), IpAddr::from([192, 0, 2, 1]));
        let frame = between(source, destination).tcp(40_000, 22).syn().build();
        crosses(&self.outside, &self.inside, &frame, patience)
    }

    /// Checks for each address whether connections from it get in.
    pub fn ensure_passes(&self, expected: &[(&str, bool)]) -> Result<()> {
        for (source, passes) in expected {
            let seen = self.passes(source)?;
            ensure!(
                seen == *passes,
                "expected that {source} passes: {passes}, but it passes: {seen}"
            );
        }
        Ok(())
    }

    /// What a running daemon answers to `GET path`.
    pub fn get(&self, path: &str) -> Result<http::Response> {
        http::get(&self.pair.edge, listen()?, path, &[])
    }

    /// The value of a series in the metrics; a series that is not there is 0.
    pub fn metric(&self, series: &str) -> Result<f64> {
        let body = self.get("/metrics")?.body;
        let value = body
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(Ok(0.0), |value| Ok(value.parse()?))
    }

    /// How many packets from Russia were dropped on an interface.
    pub fn dropped(&self, interface: &str) -> Result<f64> {
        self.metric(&format!(
            "geofence_packets_total{{interface=\"{interface}\",country=\"RU\",action=\"drop\",\
             reason=\"country_blocked\"}}"
        ))
    }

    /// The number of the XDP program on an interface.
    pub fn program(&self, interface: &str) -> Result<Option<u64>> {
        let words = ["ip", "-json", "-details", "link", "show", interface];
        let links: Value = serde_json::from_str(&self.pair.edge.run(&words)?)?;
        Ok(links[0]["xdp"]["prog"]["id"].as_u64())
    }

    /// Where the filter is pinned.
    #[must_use]
    pub fn pins(&self) -> PathBuf {
        Path::new("/sys/fs/bpf/geofence").join(self.pair.edge.instance())
    }

    /// Where the last good image is kept.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        Path::new("/var/lib").join(self.pair.edge.instance())
    }

    /// Where the control socket is.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        let directory = Path::new("/run").join(self.pair.edge.instance());
        directory.join("control.sock")
    }

    /// Takes the filter off, and answers with what was said.
    pub fn detach(&self, words: &[&str]) -> Result<String> {
        let answer = self.ask(&[&["detach"], words].concat())?;
        ensure!(answer.code == Some(0), "{answer:?}");
        Ok(answer.stdout)
    }
}

fn listen() -> Result<SocketAddr> {
    Ok(LISTEN.parse()?)
}
