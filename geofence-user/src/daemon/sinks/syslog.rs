//! Events as syslog messages of RFC 5424: over UDP (RFC 5426), or with their lengths in front over TCP (RFC 6587) and
//! TLS (RFC 5425).

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{TcpStream, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use super::sink::Sink;
use super::sockets::{tcp, udp};
use super::syslog_tls::{self, TlsStream};
use crate::daemon::events::event_line;
use crate::model::event_settings::SyslogServer;

/// The facility of daemons.
const FACILITY: u8 = 3;
const WARNING: u8 = 4;
const INFORMATIONAL: u8 = 6;
/// The structured data's name: 32473 is the number for examples (RFC 5612), as geofence has none.
const DATA_ID: &str = "geofence@32473";
/// Keys that the header or nothing needs again.
const LEFT_OUT: [&str; 3] = ["time", "number", "event"];

/// The connection to a server.
pub(super) struct Syslog {
    server: SyslogServer,
    /// The authorities that a server over TLS is trusted by.
    ca: Option<PathBuf>,
    host: String,
    stream: Option<Stream>,
}

enum Stream {
    Udp(UdpSocket),
    Tcp(TcpStream),
    Tls(Box<TlsStream>),
}

impl Syslog {
    pub(super) fn new(server: SyslogServer, ca: Option<PathBuf>) -> Self {
        let system = rustix::system::uname();
        let host = system.nodename().to_string_lossy();
        let host: String = host.chars().filter(char::is_ascii_graphic).collect();
        Self {
            server,
            ca,
            host: if host.is_empty() {
                "-".to_owned()
            } else {
                host
            },
            stream: None,
        }
    }

    fn connect(&self) -> std::io::Result<Stream> {
        match &self.server {
            SyslogServer::Udp(address) => udp(*address).map(Stream::Udp),
            SyslogServer::Tcp(address) => tcp(address).map(Stream::Tcp),
            SyslogServer::Tls { host, port } => {
                let stream = syslog_tls::connect(host, *port, self.ca.as_deref())?;
                Ok(Stream::Tls(Box::new(stream)))
            }
        }
    }
}

impl Sink for Syslog {
    fn deliver(&mut self, events: &[Arc<Value>]) -> std::io::Result<()> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.connect()?,
        };
        let messages = events.iter().map(|event| message(event, &self.host));
        match &mut stream {
            Stream::Udp(socket) => {
                for message in messages {
                    socket.send(message.as_bytes())?;
                }
            }
            Stream::Tcp(connection) => connection.write_all(framed(messages).as_bytes())?,
            Stream::Tls(connection) => {
                connection.write_all(framed(messages).as_bytes())?;
                connection.flush()?;
            }
        }
        self.stream = Some(stream);
        Ok(())
    }
}

/// Messages with their lengths in front.
fn framed(messages: impl Iterator<Item = String>) -> String {
    let framed = messages.map(|message| format!("{} {message}", message.len()));
    framed.collect()
}

/// A message: header, structured data, and the event as a line.
fn message(event: &Value, host: &str) -> String {
    let text = |key: &str| event[key].as_str().unwrap_or("-");
    // A packet that leaves to a listed address may mean an infected host.
    let severity = if text("direction") == "out" {
        WARNING
    } else {
        INFORMATIONAL
    };
    let mut message = format!(
        "<{}>1 {} {host} geofence {} {} [{DATA_ID}",
        FACILITY * 8 + severity,
        text("time"),
        std::process::id(),
        text("event"),
    );
    for (key, value) in event.as_object().into_iter().flatten() {
        let value = match value {
            Value::Null => continue,
            Value::String(value) => value.clone(),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                value.to_string()
            }
        };
        if !LEFT_OUT.contains(&key.as_str()) {
            let mut escaped = String::with_capacity(value.len());
            for character in value.chars() {
                if matches!(character, '"' | '\\' | ']') {
                    escaped.push('\\');
                }
                escaped.push(character);
            }
            // A string takes whatever is written.
            let _ = write!(message, " {key}=\"{escaped}\"");
        }
    }
    message.push_str("] ");
    message.push_str(&event_line(event));
    message
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::TcpListener;

    use serde_json::json;

    use super::*;

    fn event() -> Value {
        json!({
            "event": "drop", "number": 1, "time": "2026-06-01T00:00:00.25Z", "direction": "in",
            "action": "drop", "reason": "country_blocked", "country": "RU", "interface": "eth0",
            "protocol": "tcp", "src": "77.88.8.8", "src_port": 40_000, "dst": "192.0.2.2", "dst_port": 22,
            "tcp_flags": "SYN", "length": 60, "tenant": "a\"]b", "list": null, "exception": null,
        })
    }

    #[test]
    fn message_has_header_data_and_text() {
        let message = message(&event(), "host");
        let process = std::process::id();
        let head =
            format!("<30>1 2026-06-01T00:00:00.25Z host geofence {process} drop [{DATA_ID} ");
        assert!(message.starts_with(&head), "{message}");
        assert!(
            message.contains(r#" reason="country_blocked""#),
            "{message}"
        );
        assert!(message.contains(r#" tenant="a\"\]b""#), "{message}");
        assert!(!message.contains("list="), "{message}");
        let text = "] drop country_blocked: 77.88.8.8:40000 -> 192.0.2.2:22, tcp SYN, country RU, eth0, 60 bytes";
        assert!(message.contains(text), "{message}");
    }

    #[test]
    fn messages_arrive_over_udp_and_with_their_length_over_tcp() {
        let events = [Arc::new(event()), Arc::new(event())];
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let server = SyslogServer::Udp(socket.local_addr().unwrap());
        let mut syslog = Syslog::new(server, None);
        syslog.deliver(&events).unwrap();
        let expected = message(&event(), &syslog.host);
        for _ in 0..2 {
            let mut read = [0; 2048];
            let length = socket.recv(&mut read).unwrap();
            assert_eq!(str::from_utf8(&read[..length]), Ok(&expected[..]));
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = SyslogServer::Tcp(listener.local_addr().unwrap());
        let mut syslog = Syslog::new(server, None);
        syslog.deliver(&events).unwrap();
        drop(syslog);
        let mut read = String::new();
        listener
            .accept()
            .unwrap()
            .0
            .read_to_string(&mut read)
            .unwrap();
        let framed = format!("{} {expected}", expected.len());
        assert_eq!(read, framed.repeat(2));
    }
}
