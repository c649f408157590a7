//! The box that explains a packet: a form, and the answer of the active policy.

use std::net::IpAddr;
use std::str::FromStr;

use clap::ValueEnum;
use geofence_common::action::Action;

use super::query::Query;
use crate::daemon::{Daemon, Explanation};
use crate::explain::{Protocol, Question};

/// Ports of a packet of which no port was given, as `geofence explain` has them.
const PORTS: [u16; 2] = [40_000, 443];

/// The form with what was entered, and the answer.
#[derive(Default)]
pub(super) struct Explain {
    pub(super) from: String,
    pub(super) from_port: String,
    pub(super) to: String,
    pub(super) to_port: String,
    pub(super) protocol: &'static str,
    pub(super) answer: Option<Answer>,
    /// Why there is no answer, if one was asked for.
    pub(super) error: Option<String>,
}

/// The answer as the page shows it.
pub(super) struct Answer {
    pub(super) said: Explanation,
    /// The packet in words.
    pub(super) packet: String,
    /// The command that asks the same.
    pub(super) command: String,
}

impl Answer {
    /// The class of its colour.
    pub(super) fn class(&self) -> &'static str {
        self.said.action.name()
    }

    pub(super) fn verdict(&self) -> &'static str {
        match self.said.action {
            Action::Pass => "passes",
            Action::Drop => "is dropped",
        }
    }
}

impl Explain {
    /// Answers the question of a request, if it has one.
    pub(super) fn answer(daemon: &Daemon, query: &Query) -> Self {
        let is_asked = !query.from.trim().is_empty();
        let protocol = protocol(&query.protocol);
        let mut form = Self {
            from: query.from.trim().to_owned(),
            from_port: query.from_port.trim().to_owned(),
            to: query.to.trim().to_owned(),
            to_port: query.to_port.trim().to_owned(),
            protocol: word(protocol),
            ..Self::default()
        };
        if is_asked {
            let answer = form.question(protocol).and_then(|question| {
                let said = daemon.explain(&question);
                let said = said.map_err(|error| format!("{error:#}"))?;
                Ok(form.in_words(&question, said))
            });
            match answer {
                Ok(answer) => form.answer = Some(answer),
                Err(error) => form.error = Some(error),
            }
        }
        form
    }

    /// The packet that was entered.
    fn question(&self, protocol: Protocol) -> Result<Question, String> {
        let source: IpAddr = read(&self.from, "source address", "5.136.0.77 or 240e::1")?;
        let destination = match self.to.as_str() {
            "" => Question::any_destination(source),
            to => read(to, "destination address", "192.0.2.1 or 2001:db8::1")?,
        };
        if source.is_ipv4() != destination.is_ipv4() {
            return Err(format!(
                "{source} and {destination} belong to different address families; give two IPv4 or two IPv6 addresses"
            ));
        }
        let port = |text: &str, default: u16| match text {
            "" => Ok(default),
            text => read(text, "port", "443"),
        };
        Ok(Question {
            source,
            destination,
            protocol,
            source_port: port(&self.from_port, PORTS[0])?,
            destination_port: port(&self.to_port, PORTS[1])?,
            is_reply: false,
        })
    }

    fn in_words(&self, question: &Question, said: Explanation) -> Answer {
        let Question {
            source,
            destination,
            source_port,
            destination_port,
            ..
        } = question;
        let protocol = self.protocol;
        let (packet, ports) = match question.protocol {
            Protocol::Icmp => (
                format!("An echo request from {source} to {destination}"),
                String::new(),
            ),
            Protocol::Tcp | Protocol::Udp => {
                let protocol = protocol.to_uppercase();
                (
                    format!(
                        "{protocol} from {source}, port {source_port}, to {destination}, port {destination_port}"
                    ),
                    format!(" --sport {source_port} --dport {destination_port}"),
                )
            }
        };
        Answer {
            said,
            packet,
            command: format!(
                "geofence explain {source} --dst {destination} --proto {protocol}{ports}"
            ),
        }
    }
}

/// The protocol of this name; TCP for another.
fn protocol(name: &str) -> Protocol {
    <Protocol as ValueEnum>::from_str(name, true).unwrap_or(Protocol::Tcp)
}

const fn word(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Icmp => "icmp",
    }
}

fn read<T: FromStr>(text: &str, what: &str, example: &str) -> Result<T, String> {
    let short: String = text.chars().take(60).collect();
    let wrong = |_| format!("“{short}” is not a valid {what}; an example is {example}");
    text.parse().map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(from: &str, to: &str, port: &str) -> Explain {
        Explain {
            from: from.to_owned(),
            to: to.to_owned(),
            to_port: port.to_owned(),
            ..Explain::default()
        }
    }

    #[test]
    fn an_address_alone_is_a_connection_to_https() {
        let question = form("5.136.0.77", "", "").question(Protocol::Tcp).unwrap();
        assert_eq!(question.destination.to_string(), "192.0.2.1");
        assert_eq!(
            (question.source_port, question.destination_port),
            (40_000, 443)
        );
    }

    #[test]
    fn what_is_no_packet_is_named() {
        for (form, expected) in [
            (
                form("5.136.0", "", ""),
                "“5.136.0” is not a valid source address",
            ),
            (
                form("5.136.0.77", "x", ""),
                "“x” is not a valid destination address",
            ),
            (
                form("5.136.0.77", "", "70000"),
                "“70000” is not a valid port",
            ),
            (
                form("5.136.0.77", "2001:db8::1", ""),
                "different address families",
            ),
        ] {
            let error = form.question(Protocol::Tcp).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
