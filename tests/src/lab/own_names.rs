//! Step 7: a sender in a blocked country finds our mail host through our own name server, before it sends anything.
//!
//! Nothing else says where our mail host is. The sender's resolver asks over one family and one protocol at a time.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::delivery::tidy;
use super::dns;
use super::hosts::OURS;
use super::laboratory::Lab;
use super::network::{EDGE, host};
use super::postfix::RECIPIENT;
use super::report::Row;
use super::scale::Scale;
use crate::wait::poll;

/// How long a message may take, and how long until a name server that has started is noticed.
const PATIENCE: Duration = Duration::from_secs(60);
const LENGTH: usize = 4000;
/// The place of the edge's mail host in [`OURS`].
const ON_THE_EDGE: usize = 1;

/// Messages from senders who know our domain only by its name.
pub(super) fn senders_ask_us(lab: &Lab, _scale: Scale) -> Result<Vec<Row>> {
    let domain = OURS[ON_THE_EDGE];
    let begun = Instant::now();
    let closed = !answers(lab, Duration::from_secs(2))?;
    let _authority = dns::own_authority(&lab.network, &lab.ground.folder("own-names")?, domain)?;
    lab.filter.reload()?;
    let opened = answers(lab, PATIENCE)?;
    let mut rows = vec![Row {
        step: 7,
        what:
            "DNS from blocked countries to the edge, before and after a name server listens there"
                .to_owned(),
        expected: "closed, then open".to_owned(),
        seen: format!("{}, then {}", word(!closed), word(opened)),
        took: begun.elapsed(),
        ok: (closed || !lab.enforces()) && opened,
    }];
    for (v6, tcp) in [(false, false), (false, true), (true, false), (true, true)] {
        rows.push(one(lab, domain, (v6, tcp))?);
    }
    tidy(lab)?;
    Ok(rows)
}

fn word(is_open: bool) -> &'static str {
    if is_open { "open" } else { "closed" }
}

/// One message whose sender asks our name server this way.
fn one(lab: &Lab, domain: &str, (v6, tcp): (bool, bool)) -> Result<Row> {
    let begun = Instant::now();
    let family = if v6 { "IPv6" } else { "IPv4" };
    let protocol = if tcp { "TCP" } else { "UDP" };
    let folder = lab.ground.folder(&format!("sender-{family}-{protocol}"))?;
    let _resolver = dns::senders_resolver(&lab.network, &folder, domain, (v6, tcp))?;
    // A mail host puts a message off for minutes if the first look-up takes too long. The name is then in the cache of
    // the resolver, and it came there this way.
    let is_found = poll(PATIENCE, || Ok(finds_mail_host(lab, domain)?.then_some(())))?;
    let (world, ours) = (&lab.hosts.world, &lab.hosts.ours[ON_THE_EDGE]);
    let (before, mark) = (ours.kept()?, world.mark());
    world.submit(
        1,
        "asker@elsewhere.ru",
        &format!("{RECIPIENT}@{domain}"),
        LENGTH,
    )?;
    world.settle(mark, PATIENCE, || Ok(ours.kept()? > before))?;
    let delivered = ours.kept()? - before;
    let tally = world.tally(mark);
    let mut seen = format!("{delivered} delivered, {} put off", tally.failed);
    if is_found.is_none() {
        seen.push_str("; the resolver finds no mail host");
    }
    if let Some(complaint) = &tally.complaint {
        seen.push_str(&format!("; {complaint}"));
    }
    world.give_up()?;
    Ok(Row {
        step: 7,
        what: format!(
            "mail from a sender who asks our own name server for the MX, over {protocol} and {family}"
        ),
        expected: "1 delivered, none put off".to_owned(),
        seen,
        took: begun.elapsed(),
        ok: delivered == 1 && tally.failed == 0,
    })
}

/// Whether the senders' resolver finds the mail host of a domain.
fn finds_mail_host(lab: &Lab, domain: &str) -> Result<bool> {
    const MX: u8 = 15;
    const HEADER: [u8; 12] = [0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let mut query = HEADER.to_vec();
    for label in domain.split('.') {
        query.push(u8::try_from(label.len())?);
        query.extend(label.bytes());
    }
    query.extend([0, 0, MX, 0, 1]);
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let socket = lab.network.world.enter(|| UdpSocket::bind(local))??;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    socket.send_to(&query, (Ipv4Addr::LOCALHOST, 53))?;
    let mut answer = [0; 512];
    let Ok((length, _)) = socket.recv_from(&mut answer) else {
        return Ok(false);
    };
    // No error, and at least one answer.
    Ok(length >= HEADER.len() && answer[3] & 0xf == 0 && answer[6..8] != [0, 0])
}

/// Whether the edge answers DNS queries from a blocked country within this time, over both families.
fn answers(lab: &Lab, patience: Duration) -> Result<bool> {
    let caller = lab.network.countries[0].host(host::CALLERS[1]);
    for v6 in [false, true] {
        let own: IpAddr = caller.of(v6);
        let socket = lab
            .network
            .world
            .enter(|| UdpSocket::bind(SocketAddr::new(own, 0)))?
            .with_context(|| format!("asking from {own}"))?;
        socket.set_read_timeout(Some(Duration::from_millis(500)))?;
        let server = SocketAddr::new(EDGE.of(v6), 53);
        // A query for the root's name servers; any answer says that it arrived.
        let query = [0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1];
        let answered = poll(patience, || {
            socket.send_to(&query, server)?;
            let mut answer = [0; 512];
            // A refusal of the port is an answer of the machine, and none of a name server.
            let read = socket.recv_from(&mut answer);
            Ok(read.is_ok_and(|(length, _)| length >= 12).then_some(()))
        })?;
        if answered.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}
