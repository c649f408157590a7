//! A mail host: Postfix from a folder of its own, which knows nothing of one that the machine may have.
//!
//! Mail for its domains ends up as one file a message; everything else it delivers over SMTP. What it did is read from
//! its queue, its mailbox and its log, never from what it was asked to do.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::unistd::User;

use super::ground;
use super::server::Server;
use crate::namespace::Namespace;
use crate::wait::poll;

/// The recipient at every domain; the host keeps all mail in one mailbox.
pub(super) const RECIPIENT: &str = "box";
/// Where messages wait; one in any of them is not delivered yet.
const QUEUES: [&str; 5] = ["maildrop", "incoming", "active", "deferred", "hold"];

/// What a mail host is to be.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) name: &'static str,
    /// Where it listens, loopback besides.
    pub(super) listen: Vec<IpAddr>,
    /// For which domains it keeps mail.
    pub(super) domains: Vec<String>,
    /// Ways out of its own: each a service of the SMTP client with options.
    pub(super) ways: Vec<(String, String)>,
    /// Which sender's mail takes which way to which host.
    pub(super) senders: Vec<(String, String)>,
}

/// A running mail host.
#[derive(Debug)]
pub(super) struct Postfix {
    namespace: Namespace,
    folder: PathBuf,
    server: Server,
}

/// What the log says became of messages that left over SMTP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Messages sent, by the address and port they went to: `[192.0.2.1]:25`.
    pub(super) sent: BTreeMap<String, u64>,
    /// How often a message was put off or refused, anywhere.
    pub(super) failed: u64,
    /// Connections under TLS, by the same address.
    pub(super) encrypted: BTreeMap<String, u64>,
    /// The first complaint.
    pub(super) complaint: Option<String>,
}

impl Tally {
    /// Messages sent to peers that fit.
    pub(super) fn to(&self, fits: impl Fn(&str) -> bool) -> u64 {
        let fitting = self.sent.iter().filter(|(relay, _)| fits(relay));
        fitting.map(|(_, count)| count).sum()
    }
}

impl Postfix {
    /// Starts a mail host and waits until it answers at every address.
    pub(super) fn start(namespace: &Namespace, folder: PathBuf, plan: &Plan) -> Result<Self> {
        let started = Self::bring_up(namespace, folder, plan);
        started.with_context(|| format!("starting the mail host {}", plan.name))
    }

    fn bring_up(namespace: &Namespace, folder: PathBuf, plan: &Plan) -> Result<Self> {
        for part in ["config", "queue", "data", "mail"] {
            ground::make(&folder.join(part))?;
        }
        let keeper = user("nobody")?;
        let owner = user("postfix")?;
        chown(
            folder.join("mail"),
            Some(keeper.uid.into()),
            Some(keeper.gid.into()),
        )?;
        chown(
            folder.join("data"),
            Some(owner.uid.into()),
            Some(owner.gid.into()),
        )?;
        certificate(namespace, &folder, plan.name)?;
        let config = folder.join("config");
        fs::write(config.join("main.cf"), main_cf(&folder, plan, &keeper))?;
        fs::write(config.join("master.cf"), master_cf(plan))?;
        fs::write(folder.join("senders"), map(&plan.senders))?;
        let words = ["postfix", "-c", path(&config)?, "start-fg"];
        let mut server = Server::start(namespace, "postfix", &folder, &words)?;
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        for address in plan.listen.iter().chain([&loopback]) {
            for port in [25, 587] {
                let waited = server.wait_port(namespace, SocketAddr::new(*address, port));
                waited.with_context(|| format!("its log: {}", read(&folder.join("log"))))?;
            }
        }
        Ok(Self {
            namespace: namespace.clone(),
            folder,
            server,
        })
    }

    /// Hands the host messages of so many bytes, as a program on it would.
    pub(super) fn submit(&self, count: u32, from: &str, to: &str, length: usize) -> Result<()> {
        if count == 0 {
            return Ok(());
        }
        let (count, length) = (count.to_string(), length.to_string());
        let words = [
            "smtp-source",
            "-d",
            "-m",
            &count,
            "-l",
            &length,
            "-f",
            from,
            "-t",
            to,
            "127.0.0.1:25",
        ];
        self.namespace.run(&words).map(drop)
    }

    /// Messages in the mailbox.
    pub(super) fn kept(&self) -> Result<u64> {
        count(&self.folder.join("mail/box/new"))
    }

    /// Throws away what is in the mailbox.
    pub(super) fn empty(&self) -> Result<()> {
        let folder = self.folder.join("mail/box/new");
        if folder.is_dir() {
            fs::remove_dir_all(&folder)
                .with_context(|| format!("emptying {}", folder.display()))?;
        }
        Ok(())
    }

    /// Messages not delivered yet, those put off included.
    pub(super) fn queued(&self) -> Result<u64> {
        QUEUES.iter().try_fold(0, |sum, queue| {
            Ok(sum + count(&self.folder.join("queue").join(queue))?)
        })
    }

    /// Throws away what is still queued, so that a step which failed does not spoil the next.
    pub(super) fn give_up(&self) -> Result<()> {
        let config = self.folder.join("config");
        self.namespace
            .run(&["postsuper", "-c", path(&config)?, "-d", "ALL"])
            .map(drop)
    }

    /// How long the log is now: where a step's own part of it begins.
    pub(super) fn mark(&self) -> usize {
        read(&self.folder.join("log")).len()
    }

    /// What became of messages since a mark.
    pub(super) fn tally(&self, mark: usize) -> Tally {
        let log = read(&self.folder.join("log"));
        tally(log.get(mark..).unwrap_or_default())
    }

    /// Waits until it has nothing left to deliver and `arrived` agrees, or a message was put off.
    pub(super) fn settle(
        &self,
        mark: usize,
        patience: Duration,
        mut arrived: impl FnMut() -> Result<bool>,
    ) -> Result<()> {
        poll(patience, || {
            let idle = self.queued()? == 0 && arrived()?;
            Ok((idle || self.tally(mark).failed > 0).then_some(()))
        })
        .map(drop)
        .with_context(|| format!("it said: {}", self.server.said()))
    }
}

fn main_cf(folder: &Path, plan: &Plan, keeper: &User) -> String {
    let folder = folder.display();
    let (uid, gid) = (keeper.uid, keeper.gid);
    let listen: Vec<String> = plan
        .listen
        .iter()
        .map(ToString::to_string)
        .chain(["127.0.0.1".to_owned()])
        .collect();
    let listen = listen.join(", ");
    let domains = plan.domains.join(", ");
    let name = plan.name;
    format!(
        "compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file_prefixes = {folder}
maillog_file = {folder}/log
myhostname = {name}.example
mydestination =
alias_maps =
alias_database =
local_transport = error
inet_interfaces = {listen}
inet_protocols = all
mynetworks = 127.0.0.0/8
smtpd_peername_lookup = no
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
virtual_mailbox_domains = {domains}
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = static:box/
virtual_mailbox_limit = 0
virtual_minimum_uid = 1
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
message_size_limit = 52428800
queue_minfree = 0
smtpd_tls_security_level = may
smtpd_tls_cert_file = {folder}/tls.pem
smtpd_tls_key_file = {folder}/tls.pem
smtp_tls_security_level = may
smtp_tls_loglevel = 1
smtp_connection_cache_on_demand = no
smtp_connect_timeout = 10s
smtp_helo_timeout = 10s
smtp_mx_session_limit = 1
minimal_backoff_time = 1h
smtpd_client_connection_count_limit = 0
default_destination_concurrency_limit = 10
bounce_queue_lifetime = 0
soft_bounce = yes
sender_dependent_default_transport_maps = texthash:{folder}/senders
"
    )
}

fn master_cf(plan: &Plan) -> String {
    let mut text = String::from(
        "smtp inet n - n - - smtpd
587 inet n - n - - smtpd -o smtpd_tls_security_level=encrypt
pickup unix n - n 1 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 1 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
showq unix n - n - - showq
postlog unix-dgram n - n - 1 postlogd
",
    );
    for (name, options) in &plan.ways {
        text.push_str(&format!("{name} unix - - n - - smtp {options}\n"));
    }
    text
}

fn map(pairs: &[(String, String)]) -> String {
    pairs
        .iter()
        .map(|(key, value)| format!("{key} {value}\n"))
        .collect()
}

/// A self-signed certificate: enough for STARTTLS, which checks none by default.
fn certificate(namespace: &Namespace, folder: &Path, name: &str) -> Result<()> {
    let pem = folder.join("tls.pem");
    let subject = format!("/CN={name}.example");
    let file = path(&pem)?;
    let words = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
        "-subj",
        &subject,
        "-keyout",
        file,
        "-out",
        file,
    ];
    namespace.run(&words).context("making a certificate")?;
    if !read(&pem).contains("BEGIN CERTIFICATE") || !read(&pem).contains("PRIVATE KEY") {
        bail!("openssl did not put key and certificate into {file}");
    }
    Ok(())
}

fn tally(log: &str) -> Tally {
    let mut tally = Tally::default();
    for line in log.lines() {
        if let Some((_, rest)) = line.split_once("TLS connection established to ") {
            // `mx.example[192.0.2.1]:587: TLSv1.3 with cipher ...`
            let peer = rest.split_once(": ").map_or(rest, |(peer, _)| peer);
            if let Some(relay) = relay(peer) {
                *tally.encrypted.entry(relay).or_default() += 1;
            }
        }
        let Some((_, status)) = line.split_once(" status=") else {
            continue;
        };
        if !status.starts_with("sent") {
            tally.failed += 1;
            tally.complaint.get_or_insert_with(|| status.to_owned());
            continue;
        }
        let peer = line
            .split_once(" relay=")
            .and_then(|(_, rest)| rest.split_once(','))
            .and_then(|(peer, _)| relay(peer));
        if let Some(relay) = peer {
            *tally.sent.entry(relay).or_default() += 1;
        }
    }
    tally
}

/// `name[address]:port` to `[address]:port`; local deliveries have no such peer.
fn relay(peer: &str) -> Option<String> {
    let at = peer.find('[')?;
    peer.contains("]:").then(|| peer[at..].to_owned())
}

fn user(name: &str) -> Result<User> {
    User::from_name(name)
        .with_context(|| format!("looking up the user {name}"))?
        .with_context(|| format!("this machine has no user {name}; is Postfix installed?"))
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("a path of ours is not text")
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

/// Files in a folder and those below it; a folder that is not there yet has none.
fn count(folder: &Path) -> Result<u64> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => {
            return Err(error).with_context(|| format!("reading {}", folder.display()));
        }
    };
    entries.into_iter().try_fold(0, |sum, entry| {
        let entry = entry.with_context(|| format!("reading {}", folder.display()))?;
        let folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        Ok(sum + if folder { count(&entry.path())? } else { 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tally_adds_up_the_log_by_peer() {
        let log = "\
Nov 24 00:00:00 x postfix/smtp[7]: Untrusted TLS connection established to 192.0.2.1[192.0.2.1]:587: TLSv1.3 with c
Nov 24 00:00:00 x postfix/smtp[7]: A1: to=<b@x>, relay=192.0.2.1[192.0.2.1]:587, delay=0.1, dsn=2.0.0, status=sent (250)
Nov 24 00:00:00 x postfix/virtual[7]: A2: to=<b@x>, relay=virtual, delay=0.1, dsn=2.0.0, status=sent (maildir)
Nov 24 00:00:00 x postfix/smtp[7]: A3: to=<b@y>, relay=none, delay=9, dsn=4.4.1, status=deferred (timed out)
";
        let tally = tally(log);
        assert_eq!(tally.to(|relay| relay == "[192.0.2.1]:587"), 1);
        assert_eq!(tally.encrypted["[192.0.2.1]:587"], 1);
        assert_eq!(tally.to(|_| true), 1, "local deliveries are not counted");
        assert_eq!(
            (tally.failed, tally.complaint.as_deref()),
            (1, Some("deferred (timed out)"))
        );
    }
}
