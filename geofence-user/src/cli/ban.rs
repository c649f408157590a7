//! `geofence ban`, `unban` and `bans`: sources whose packets are dropped for a time; the running daemon does the work.

use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

use clap::Args;
use comfy_table::{CellAlignment, LineStyle, Table, presets};
use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;

use super::exception::{End, show};
use super::outcome::Outcome;
use super::request::{DaemonArgs, required_peers};
use crate::config::{ExceptionSpec, ban_name};
use crate::daemon::{Change, ExceptionView};
use crate::model::text::grouped;
use crate::model::units::UnixSeconds;
use crate::serve::control::Request;

/// How long a ban lasts if nothing else is said.
const USUAL: Duration = Duration::from_secs(3600);

/// Drop every packet from an address or a prefix for a time
///
/// A ban comes before exceptions, `allow` and services; only `management` comes before a ban. It takes effect at once,
/// survives restarts of the daemon and the machine, and is recorded in audit.jsonl in the state directory. It ends by
/// itself, after an hour unless --expires or --until says otherwise; ban the source again to change when. A ban that
/// would lock out this machine's SSH sessions, gateways, resolvers or metadata service is refused. Exits with 0 when
/// the source is banned, and with 1 when the ban is refused.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    ban: NewBan,
    /// Ban it even if that locks out this machine's SSH sessions, gateways, resolvers or metadata service
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    daemon: DaemonArgs,
}

/// A ban that is to be made.
#[derive(Args, Debug)]
pub struct NewBan {
    /// The source
    #[arg(value_name = "ADDRESS|PREFIX", value_parser = source)]
    source: IpNet,
    /// When the ban ends [default: an hour from now]
    #[command(flatten)]
    end: End,
    /// Why the source is banned
    #[arg(long, value_name = "TEXT", default_value = "banned by command")]
    reason: String,
    /// Person, team or tool responsible for the ban
    #[arg(long, value_name = "TEXT", default_value = "operator")]
    owner: String,
}

impl NewBan {
    /// The ban in the words of the command, and how many seconds it lasts if that is what was asked for.
    #[must_use]
    pub fn spec(&self) -> (ExceptionSpec, Option<u64>) {
        let (until, lasts) = match (self.end.text(), self.end.lasts()) {
            (Some(until), lasts) => (until, lasts),
            (None, _) => (
                UnixSeconds::now().plus(USUAL).to_string(),
                Some(USUAL.as_secs()),
            ),
        };
        let ban = ExceptionSpec::ban(&self.source, &self.reason, &self.owner, until);
        (ban, lasts)
    }
}

/// End a ban
#[derive(Args, Debug)]
pub struct UnbanArguments {
    /// The source, as it was banned
    #[arg(value_name = "ADDRESS|PREFIX", value_parser = source)]
    source: IpNet,
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    daemon: DaemonArgs,
}

/// List bans, with the packets that each has dropped
#[derive(Args, Debug)]
pub struct ListArguments {
    #[command(flatten)]
    daemon: DaemonArgs,
}

pub(super) fn ban(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let (ban, lasts) = arguments.ban.spec();
    let change = Change::Ban {
        ban,
        force: arguments.force,
        required_peers: required_peers(&arguments.daemon.instance.instance()?)?,
    };
    let words = |ban: &ExceptionSpec| {
        let until = ban.until.as_deref().unwrap_or_default();
        format!("banned: {}, until {until}", ban.from.join(", "))
    };
    let asked = (change, lasts);
    request(
        &arguments.daemon,
        asked,
        "not banned, nothing changed",
        words,
        out,
    )
}

pub(super) fn unban(arguments: &UnbanArguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let change = Change::Remove {
        id: ban_name(&arguments.source),
        reason: arguments.reason.clone(),
        force: false,
        required_peers: required_peers(&arguments.daemon.instance.instance()?)?,
    };
    let words = |ban: &ExceptionSpec| format!("not banned any more: {}", ban.from.join(", "));
    request(
        &arguments.daemon,
        (change, None),
        "nothing changed",
        words,
        out,
    )
}

/// Asks the daemon for a change, and says what became of the ban in these words.
fn request(
    daemon: &DaemonArgs,
    (change, lasts): (Change, Option<u64>),
    refusal: &str,
    words: impl Fn(&ExceptionSpec) -> String,
    out: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    let text = |result: &Value| {
        let ban = ExceptionView::deserialize(&result["exception"])?.spec;
        let generation = &result["generation"];
        Ok(format!("{}\nimage {generation} is active", words(&ban)))
    };
    let request = Request::Exception { change, lasts };
    daemon.request(&request, refusal, text, out)
}

pub(super) fn bans(arguments: &ListArguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let request = Request::Exceptions {
        id: None,
        bans: true,
    };
    show(&arguments.daemon, &request, table, out)
}

/// All bans, one a line.
fn table(bans: &[ExceptionView]) -> String {
    if bans.is_empty() {
        return "there are no bans; add one with `geofence ban`\n".to_owned();
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
    table.set_header(["source", "state", "until", "dropped", "reason", "owner"]);
    for ExceptionView {
        spec, state, hits, ..
    } in bans
    {
        table.add_row([
            spec.from.join(", "),
            state.to_string(),
            spec.until.clone().unwrap_or_else(|| "-".to_owned()),
            grouped(*hits),
            spec.reason.clone(),
            spec.owner.clone(),
        ]);
    }
    if let Some(dropped) = table.column_mut(3) {
        dropped.set_cell_alignment(CellAlignment::Right);
    }
    format!("{}\n", table.trim_fmt())
}

/// Reads an address or a prefix.
///
/// # Errors
/// A sentence that says how to write one.
pub fn source(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.into());
    }
    let net: IpNet = text.parse().map_err(|_| {
        "neither an address nor a prefix; write 203.0.113.7 or 203.0.113.0/24".to_owned()
    })?;
    let whole = net.trunc();
    if whole != net {
        return Err(format!(
            "the prefix begins at {whole}; write that, or the address alone"
        ));
    }
    Ok(net)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_is_an_address_or_a_whole_prefix() {
        for (text, name) in [
            ("203.0.113.7", "ban-203.0.113.7"),
            ("203.0.113.7/32", "ban-203.0.113.7"),
            ("203.0.113.0/24", "ban-203.0.113.0_24"),
            ("2001:db8::/32", "ban-2001-db8--_32"),
        ] {
            assert_eq!(source(text).map(|net| ban_name(&net)).as_deref(), Ok(name));
        }
        for wrong in ["", "RU", "203.0.113.7/24", "203.0.113.0/33"] {
            assert!(source(wrong).is_err(), "{wrong}");
        }
    }
}
