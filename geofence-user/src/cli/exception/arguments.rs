//! The arguments of `geofence exception`.

use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::{Span, SpanRelativeTo};

use crate::cli::request::DaemonArgs;
use crate::config::ExceptionSpec;
use crate::model::units::UnixSeconds;

/// Let a source in although a country rule or a list blocks it
///
/// A change takes effect at once, survives restarts of the daemon and the machine, and is recorded in audit.jsonl in
/// the state directory. Exceptions of the configuration are listed too, but only the configuration file changes them.
/// Exits with 0 when the change is done and with 1 when it is refused.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(subcommand)]
    pub(super) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    Add(Add),
    List(List),
    Show(Show),
    Extend(Extend),
    Remove(Remove),
}

/// Add an exception
///
/// Without --expires or --until, it never expires.
#[derive(Args, Debug)]
pub(super) struct Add {
    #[command(flatten)]
    pub(super) exception: NewException,
    #[command(flatten)]
    pub(super) daemon: DaemonArgs,
}

/// An exception that is to be added.
#[derive(Args, Debug)]
pub struct NewException {
    /// Name of the exception, such as a ticket number [default: geofence chooses a name; a fleet needs one]
    #[arg(value_name = "ID", default_value = "", hide_default_value = true)]
    id: String,
    /// Source: a prefix, an address, a country, a group of countries or an autonomous system; repeat it for several
    #[arg(long, value_name = "PREFIX|COUNTRY|AS", required = true)]
    from: Vec<String>,
    /// Destination: a tenant, a prefix, an address, or "any"; repeat it for several
    #[arg(long, value_name = "TENANT|PREFIX|any", required = true)]
    to: Vec<String>,
    /// Only this protocol (tcp, udp, icmp, esp, gre, sctp) instead of all traffic; repeat it for several
    #[arg(long, value_name = "PROTOCOL")]
    proto: Vec<String>,
    /// Only this port of the protocol; repeat it for several
    #[arg(long, value_name = "PORT[-PORT]", requires = "proto")]
    port: Vec<String>,
    /// Person or team responsible for the exception
    #[arg(long, value_name = "TEXT")]
    owner: String,
    /// Why the exception exists
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    pub end: End,
}

/// List all exceptions, also those of the configuration, with the packets each has let pass
#[derive(Args, Debug)]
pub(super) struct List {
    #[command(flatten)]
    pub(super) daemon: DaemonArgs,
}

/// Show everything about one exception
#[derive(Args, Debug)]
pub(super) struct Show {
    /// Name of the exception
    #[arg(value_name = "ID")]
    pub(super) id: String,
    #[command(flatten)]
    pub(super) daemon: DaemonArgs,
}

/// Change when an exception expires, to an earlier or later time
#[derive(Args, Debug)]
pub(super) struct Extend {
    /// Name of the exception
    #[arg(value_name = "ID")]
    pub(super) id: String,
    #[command(flatten)]
    pub(super) end: End,
    #[command(flatten)]
    pub(super) daemon: DaemonArgs,
}

/// Remove an exception
#[derive(Args, Debug)]
pub(super) struct Remove {
    /// Name of the exception
    #[arg(value_name = "ID")]
    pub(super) id: String,
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
    /// Remove it even if that locks out this machine's SSH sessions, gateways, resolvers or metadata service
    #[arg(long)]
    pub(super) force: bool,
    #[command(flatten)]
    pub(super) daemon: DaemonArgs,
}

/// When an exception or a ban expires.
#[derive(Args, Debug)]
pub struct End {
    /// Expires this long from now: 30d, 12h, 90m
    #[arg(long, value_name = "TIME", value_parser = span, conflicts_with = "until")]
    expires: Option<Duration>,
    /// Expires at the end of this day (UTC), or at a time with its zone: 2027-03-31T18:00:00+02:00
    #[arg(long, value_name = "DAY|TIME")]
    until: Option<String>,
}

impl End {
    /// The time as the configuration writes it.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        let at = |lasts| UnixSeconds::now().plus(lasts).to_string();
        self.expires.map(at).or_else(|| self.until.clone())
    }

    /// How long it lasts, in seconds, if that is what was asked for.
    #[must_use]
    pub fn lasts(&self) -> Option<u64> {
        self.expires.map(|lasts| lasts.as_secs())
    }
}

impl NewException {
    /// The exception in the words of the command.
    #[must_use]
    pub fn spec(&self) -> ExceptionSpec {
        ExceptionSpec {
            id: self.id.clone(),
            from: self.from.clone(),
            to: self.to.clone(),
            services: services(&self.proto, &self.port),
            action: None,
            owner: self.owner.clone(),
            reason: self.reason.clone(),
            until: self.end.text(),
        }
    }
}

/// The traffic of these ports of these protocols, or of all their ports.
#[must_use]
pub fn services(protocols: &[String], ports: &[String]) -> Vec<String> {
    let services = protocols.iter().flat_map(|protocol| {
        let alone = ports.is_empty().then(|| protocol.clone());
        let ports = ports.iter().map(move |port| format!("{protocol}/{port}"));
        alone.into_iter().chain(ports)
    });
    services.collect()
}

/// Reads how long an exception lasts.
///
/// # Errors
/// A sentence that says how to write it.
pub fn span(text: &str) -> Result<Duration, String> {
    let example = "write it as 30d, 12h or 90m";
    let span: Span = text
        .parse()
        .map_err(|error| format!("{error}; {example}"))?;
    let exact = span.to_duration(SpanRelativeTo::days_are_24_hours());
    let exact = exact.map_err(|_| format!("months and years have no fixed length; {example}"))?;
    match Duration::try_from(exact) {
        Ok(lasts) if lasts >= Duration::from_secs(1) => Ok(lasts),
        _ => Err(format!("an exception lasts at least a second; {example}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn span_needs_a_number_and_a_unit_of_fixed_length() {
        for (text, seconds) in [
            ("30d", 30 * 86_400),
            ("2w", 14 * 86_400),
            ("90m", 5400),
            ("3s", 3),
        ] {
            assert_eq!(span(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for wrong in ["", "30", "soon", "0s", "-1d", "1mo", "1y", "100ms"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }
}
