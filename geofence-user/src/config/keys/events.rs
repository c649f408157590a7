//! The keys about events: whether drops are sampled, and where events go.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use rustls::pki_types::ServerName;

use crate::config::configuration::Config;
use crate::config::error::{Problem, quoted};
use crate::config::key::Key;
use crate::model::event_settings::SyslogServer;

/// Above this, every drop of a busy link is a sample.
const RATE_MAX: u32 = 100_000;

type K = Key<Config>;

pub(super) fn keys() -> Vec<Key<Config>> {
    vec![
        K::switch("drop-events", |config| &mut config.events.drops)
            .meaning("Whether samples of dropped packets are events all the time.")
            .details(
                "If false, drops are sampled only while `geofence events --follow` runs. While drops are sampled, \
                 the larger program with rules judges every packet that enters, even if the policy has no rules. \
                 [Events](events.md) says what a sample holds.",
            )
            .example("drop-events = true")
            .refused("What is neither true nor false."),
        K::number(
            "drop-event-rate",
            1..=RATE_MAX,
            ("rate of samples", "write how many samples of each reason a second, such as 100"),
            |config, rate| config.events.rate = rate,
        )
        .meaning("How many samples of dropped packets a second the kernel sends for each reason.")
        .details("A second's worth may come at once. What is not sent is counted.")
        .example("drop-event-rate = 10")
        .refused("0, and more than 100000."),
        K::text("event-file", "the path of a file", event_file, |config| {
            &mut config.events.file
        })
        .meaning("A file to which each event is written as a line of JSON; empty for none.")
        .details(
            "Its directory must exist when geofence starts. A relative path starts at the directory of the \
             configuration file.",
        )
        .example(r#"event-file = "/var/log/geofence/events.json""#)
        .refused("A URL."),
        K::number(
            "event-file-mib",
            1..=4096,
            ("size of a file", "write a number of MiB, such as 16"),
            |config, size| config.events.file_mib = size,
        )
        .meaning("The size in MiB at which that file is renamed, with `.1` at its end, and another begun.")
        .example("event-file-mib = 64")
        .refused("0, and more than 4096."),
        K::number(
            "event-file-count",
            1..=1000,
            ("number of files", "write how many renamed files are kept, such as 5"),
            |config, count| config.events.file_count = count,
        )
        .meaning("How many such renamed files are kept.")
        .example("event-file-count = 10")
        .refused("0, and more than 1000."),
        K::text("event-syslog", "a transport, an address and a port", syslog, |config| {
            &mut config.events.syslog
        })
        .meaning("A syslog server that gets each event in the form of RFC 5424; empty for none.")
        .details(
            "Over TCP, messages are framed by their length (RFC 6587). Over TLS, as in `tls://log.example.net:6514` \
             (RFC 5425), the server's certificate must be for the host, which may be a name.",
        )
        .example(r#"event-syslog = "udp://192.0.2.9:514""#)
        .refused(
            "A host name for udp and tcp, an address without a port, and transports other than udp, tcp and tls.",
        ),
        K::text("event-syslog-ca", "the path of a PEM file", ca_file, |config| {
            &mut config.events.syslog_ca
        })
        .meaning("The authorities by which a syslog server over TLS is trusted; empty for those of the system.")
        .details(
            "A relative path starts at the directory of the configuration file. The daemon reads the file when it \
             connects.",
        )
        .example(r#"event-syslog-ca = "/etc/geofence/syslog-ca.pem""#)
        .refused("A URL. Whether the file has certificates is found out when it is read."),
        K::text("event-ipfix", "an IP address and a port", ipfix, |config| {
            &mut config.events.ipfix
        })
        .meaning("A flow collector that gets each event by IPFIX (RFC 7011) over UDP; empty for none.")
        .example(r#"event-ipfix = "192.0.2.9:4739""#)
        .refused("Host names, and an address without a port."),
    ]
}

fn event_file(text: &str) -> Result<Option<PathBuf>, Problem> {
    if text.is_empty() {
        return Ok(None);
    }
    path(text, "/var/log/geofence/events.json").map(Some)
}

fn ca_file(text: &str) -> Result<Option<PathBuf>, Problem> {
    if text.is_empty() {
        return Ok(None);
    }
    path(text, "/etc/geofence/syslog-ca.pem").map(Some)
}

fn path(text: &str, example: &str) -> Result<PathBuf, Problem> {
    let path = PathBuf::from(text);
    if text.contains("://") || text.contains('\0') || path.file_name().is_none() {
        return Err(Problem::new(
            format!("{} is not the path of a file", quoted(text)),
            "it is a URL or a directory, or has a zero byte",
            format!("write the path of the file, such as \"{example}\", or \"\" for none"),
        ));
    }
    Ok(path)
}

fn syslog(text: &str) -> Result<Option<SyslogServer>, Problem> {
    if text.is_empty() {
        return Ok(None);
    }
    let server = text
        .split_once("://")
        .and_then(|(transport, address)| match transport {
            "udp" => address.parse().ok().map(SyslogServer::Udp),
            "tcp" => address.parse().ok().map(SyslogServer::Tcp),
            "tls" => tls_server(address),
            _ => None,
        });
    server.map(Some).ok_or_else(|| {
        Problem::new(
            format!("{} is not the address of a syslog server", quoted(text)),
            "expected udp:// or tcp:// with an IP address and a port, or tls:// with a host and a port",
            "write for example \"udp://192.0.2.9:514\" or \"tls://log.example.net:6514\", or \"\" for none",
        )
    })
}

/// A host, which is an address or a name, and a port.
fn tls_server(text: &str) -> Option<SyslogServer> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse::<u16>().ok().filter(|port| *port != 0)?;
    let host = match host.strip_prefix('[') {
        Some(host) => host
            .strip_suffix(']')
            .filter(|host| host.parse::<Ipv6Addr>().is_ok())?,
        None => host,
    };
    // A name that no certificate can have is refused as well.
    ServerName::try_from(host).ok()?;
    let host = host.to_owned();
    Some(SyslogServer::Tls { host, port })
}

fn ipfix(text: &str) -> Result<Option<SocketAddr>, Problem> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        Problem::new(
            format!("{} is not the address of a collector", quoted(text)),
            "expected an IP address and a port",
            "write for example \"192.0.2.9:4739\", or \"\" for none",
        )
    })
}
