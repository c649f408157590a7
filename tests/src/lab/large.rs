//! Step 3: long messages through the narrow link, for which both ends must hear what the routers say.
//!
//! A message in makes the far router speak, a message out the near one, whose words pass the filter; so does what a
//! mail host of ours answers a reader in a blocked country. TCP's own way around routers that are not heard is off.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::dns;
use super::hosts::{OURS, sender};
use super::laboratory::Lab;
use super::network::{INSIDE, host};
use super::postfix::{Postfix, RECIPIENT};
use super::report::Row;
use crate::call;

/// A long message.
const LENGTH: usize = 10 << 20;
/// How long it may take.
const LIMIT: Duration = Duration::from_secs(10);
/// How long a transfer is waited for.
const PATIENCE: Duration = Duration::from_secs(15);
/// Where readers of mail call, and how much they get.
const READING: u16 = 993;
const READ: usize = 2 << 20;

/// How transfers of one kind went.
#[derive(Debug, Default)]
pub(super) struct Transfers {
    times: Vec<Duration>,
    complaint: Option<String>,
}

/// Transfers by kind.
pub(super) type Kinds = BTreeMap<String, Transfers>;

/// One transfer of every kind, each finding the path's width out anew.
pub(super) fn round(lab: &Lab, kinds: &mut Kinds) -> Result<()> {
    for v6 in [false, true] {
        let family = if v6 { "IPv6" } else { "IPv4" };
        let country = lab.network.countries[usize::from(v6)];
        let inside = &lab.hosts.ours[0];
        let own = format!("sender@{}", OURS[0]);
        let to_us = format!("{RECIPIENT}@{}", OURS[0]);
        let to_them = format!("{RECIPIENT}@{}", dns::SLOW[usize::from(v6)]);
        let way = sender(lab.hosts.ways.len() + usize::from(v6));
        for (what, transfer) in [
            (
                "10 MB in",
                &mut (|| deliver(&lab.hosts.world, inside, &way, &to_us))
                    as &mut dyn FnMut() -> Result<()>,
            ),
            ("10 MB out", &mut || {
                deliver(inside, &lab.hosts.world, &own, &to_them)
            }),
            ("2 MB read from port 993", &mut || {
                read(lab, country.host(host::READER).of(v6))
            }),
        ] {
            lab.network.forget()?;
            let begun = Instant::now();
            let outcome = transfer();
            let transfers = kinds.entry(format!("{what} over {family}")).or_default();
            transfers.times.push(begun.elapsed());
            if let Err(error) = outcome {
                transfers
                    .complaint
                    .get_or_insert_with(|| format!("{error:#}"));
            }
        }
    }
    Ok(())
}

/// What was seen of each kind.
pub(super) fn rows(kinds: &Kinds) -> Vec<Row> {
    kinds
        .iter()
        .map(|(what, transfers)| {
            let slowest = transfers.times.iter().max().copied().unwrap_or_default();
            let mut seen = format!(
                "{} transfers, the slowest in {:.2} s",
                transfers.times.len(),
                slowest.as_secs_f64()
            );
            if let Some(complaint) = &transfers.complaint {
                seen.push_str(&format!("; {complaint}"));
            }
            Row {
                step: 3,
                what: format!("{what}, through an MTU of 1280"),
                expected: format!("each in less than {} s", LIMIT.as_secs()),
                seen,
                took: transfers.times.iter().sum(),
                ok: transfers.complaint.is_none() && !transfers.times.is_empty() && slowest < LIMIT,
            }
        })
        .collect()
}

fn deliver(from: &Postfix, to: &Postfix, sender: &str, recipient: &str) -> Result<()> {
    let mark = from.mark();
    from.submit(1, sender, recipient, LENGTH)?;
    from.settle(mark, PATIENCE, || Ok(to.kept()? == 1))?;
    let (tally, kept) = (from.tally(mark), to.kept()?);
    from.give_up()?;
    to.give_up()?;
    to.empty()?;
    if let Some(complaint) = tally.complaint {
        bail!("{complaint}");
    }
    ensure!(kept == 1, "{kept} messages arrived in place of one");
    Ok(())
}

/// Calls a server of ours from a blocked address, and reads what it has to say.
fn read(lab: &Lab, from: IpAddr) -> Result<()> {
    let at = SocketAddr::new(INSIDE.of(from.is_ipv6()), READING);
    let server = lab
        .network
        .inside
        .enter(|| TcpListener::bind(at))?
        .with_context(|| format!("listening at {at}"))?;
    let mut reader = call::tcp(&lab.network.world, from, at, PATIENCE)?
        .with_context(|| format!("{at} does not answer"))?;
    let (mut writer, _) = server.accept().context("accepting a reader")?;
    writer.set_write_timeout(Some(PATIENCE))?;
    reader.set_read_timeout(Some(PATIENCE))?;
    thread::scope(|scope| {
        let writing = scope.spawn(move || writer.write_all(&vec![b'm'; READ]));
        let mut got = Vec::new();
        reader.read_to_end(&mut got).context("reading mail")?;
        writing
            .join()
            .unwrap_or_else(|payload| std::panic::resume_unwind(payload))
            .context("sending mail")?;
        ensure!(got.len() == READ, "{} of {READ} bytes arrived", got.len());
        Ok(())
    })
}
