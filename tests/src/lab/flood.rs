//! Step 6: floods from outside, which must leave no trace among the flows, and a flood of our own questions, which must
//! not displace our mail.
//!
//! What our side sends is laid on the edge's outer interface as raw frames, so that it passes the filter's egress like
//! anything else; the next router ignores it, as its MAC address belongs to no host.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use geofence_user::data::geoip::Database;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

use super::delivery::list;
use super::filter::Account;
use super::laboratory::Lab;
use super::network::{CALLING, EDGE, INSIDE, NEAR, OUTER, Pair, UNUSED, host};
use super::report::Row;
use super::scale::Scale;
use super::witness::{Counts, Sighting, Witness};
use crate::frames::{Frame, between, number};
use crate::link::EDGE_MAC;
use crate::packet_socket::PacketSocket;
use crate::sources;
use crate::wait::poll;

/// How many packets are spoofed.
const SPOOFED: u32 = 2_000_000;
/// How many flows to authorities our side opens, whatever the scale: fewer would fit beside one another.
const QUESTIONS: u32 = 500_000;
/// How many flows to mail hosts have to survive that.
const MAIL: u16 = 1_000;
const BATCH: u32 = 512;
const PATIENCE: Duration = Duration::from_secs(30);
/// A MAC address that no host has.
const NOWHERE: [u8; 6] = [0x02, 0, 0, 0, 0xff, 0xff];
/// The first of our ports; those of strangers are as many further on.
const PORT: u16 = 10_000;
const STRANGE: u16 = 30_000;
/// Which of the origins of spoofed packets is not blocked.
const ALLOWED: u32 = 2;

/// Both floods.
pub(super) fn floods(lab: &Lab, scale: Scale) -> Result<Vec<Row>> {
    let mut rows = vec![from_outside(lab, scale)?, answers_of_ours(lab)?];
    rows.extend(from_within(lab)?);
    Ok(rows)
}

fn from_outside(lab: &Lab, scale: Scale) -> Result<Row> {
    let begun = Instant::now();
    let total = scale.of(SPOOFED);
    let database = Database::embedded().context("reading the embedded GeoIP data")?;
    let allowed = Pair {
        v4: sources::v4(&database, "DE")?,
        v6: sources::v6(&database, "DE")?.context("the database has no IPv6 prefix of DE")?,
    };
    let [russia, china] = lab.network.countries;
    let origins = [russia, china, allowed];
    let socket = PacketSocket::open(&lab.network.near, NEAR)?;
    let before = lab.filter.account()?;
    let mut random = SmallRng::seed_from_u64(6);
    let mut sent = 0;
    while sent < total {
        let count = (total - sent).min(BATCH);
        let frames: Vec<Vec<u8>> = (sent..sent + count)
            .map(|number| spoof(&origins, number, &mut random))
            .collect();
        socket.send_many(&frames)?;
        sent += count;
    }
    let seen_all =
        |account: &super::filter::Account| account.packets() >= before.packets() + u64::from(total);
    if lab.mode != super::filter::Mode::Absent {
        poll(PATIENCE, || {
            Ok(seen_all(&lab.filter.account()?).then_some(()))
        })?;
    }
    let after = lab.filter.account()?;
    let (opened, entries) = match opened(&before, &after) {
        Ok(opened) => (
            Some(opened),
            after
                .sum("geofence_flows", "")?
                .saturating_sub(before.sum("geofence_flows", "")?),
        ),
        // Without a filter there are no counters.
        Err(_) => (None, 0),
    };
    let refused = |account: &Account| {
        let name = "geofence_flow_refusals_total";
        account.sum(name, "foreign").unwrap_or_default()
    };
    let refused = refused(&after) - refused(&before);
    Ok(Row {
        step: 6,
        what:
            "spoofed openings, answers, resets, DNS, fragments; a third from a country not blocked"
                .to_owned(),
        expected: format!("none of {total} opens a flow"),
        seen: match opened {
            Some(opened) => format!(
                "{} packets met the filter, {opened} flows opened, {entries} entries more; \
                 {refused} forwarded back and refused",
                after.packets() - before.packets()
            ),
            None => "no counters of flows".to_owned(),
        },
        took: begun.elapsed(),
        ok: opened == Some(0) && entries == 0 && refused > 0 && seen_all(&after),
    })
}

/// A packet from anywhere that would fit a flow, if there were one. Numbers take turns at what it is.
fn spoof(origins: &[Pair; 3], number: u32, random: &mut SmallRng) -> Vec<u8> {
    let v6 = random.random();
    let origin = origins[number as usize % 3].host(random.random_range(1..=254));
    let to = if random.random() { INSIDE } else { EDGE };
    if number % 3 == ALLOWED && number / 3 % 13 == 12 {
        // The edge forwards it back to where it came from: it leaves, and yet our side did not send it.
        let mail_host = origins[0].host(host::MX).of(v6);
        let frame = between(origin.of(v6), mail_host);
        return frame
            .tcp(random.random_range(1024..=65535), 25)
            .syn()
            .build();
    }
    let frame = between(origin.of(v6), to.of(v6));
    let mail = *[25, 465, 587].choose(random).unwrap_or(&25);
    let any: u16 = random.random_range(1024..=65535);
    let calling: u16 = random.random_range(CALLING);
    match number / 3 % 13 {
        0 => frame.tcp(any, mail).syn(),
        1 => frame.tcp(mail, calling).syn().ack(),
        2 => frame.tcp(mail, any).ack().payload([0x5a; 16]),
        3 => frame.tcp(25, 25).ack(),
        4 => frame.udp(53, calling).payload([0x5a; 32]),
        5 => frame.tcp(53, any).syn().ack(),
        6 => frame.tcp(mail, calling).rst(),
        // Our answers to these go to a mail port and to a DNS port.
        7 => frame.tcp(mail, mail).syn(),
        8 => frame.tcp(53, mail).syn(),
        9 => frame.icmp(if v6 { 128 } else { 8 }, 0).payload([0; 16]),
        10 if v6 => frame
            .fragment(0, true, number)
            .udp(53, any)
            .payload([0; 16]),
        10 => frame
            .identification(any)
            .fragment_field(0x2000)
            .udp(53, any)
            .payload([0; 16]),
        _ => frame.tcp(any, mail).fin().ack(),
    }
    .build()
}

/// How many flows our side opened between two looks.
fn opened(before: &Account, after: &Account) -> Result<u64> {
    let name = "geofence_flow_inserts_total";
    Ok(after.sum(name, "")? - before.sum(name, "")?)
}

/// What our side may answer to strangers, from ports that no service exempts: everything but an opening.
fn answers_of_ours(lab: &Lab) -> Result<Row> {
    let begun = Instant::now();
    let ours = PacketSocket::open(&lab.network.edge, OUTER)?;
    let before = lab.filter.account()?;
    let mut frames = Vec::new();
    for number in 0..MAIL {
        let v6 = number % 2 == 1;
        let remote = lab.network.countries[usize::from(number / 2 % 2)].host(150);
        let to = [25, 465, 587, 53, 853][usize::from(number % 5)];
        let frame = leaving(UNUSED.of(v6), remote.of(v6));
        let tcp = frame.clone().tcp(PORT + number, to);
        let question = between(remote.of(v6), UNUSED.of(v6)).udp(53, PORT).build();
        let (kind, code) = if v6 { (1, 4) } else { (3, 3) };
        frames.extend([
            tcp.clone().syn().ack().build(),
            tcp.clone().ack().build(),
            tcp.clone().rst().ack().build(),
            tcp.fin().ack().build(),
            frame.icmp(kind, code).payload(&question[14..]).build(),
        ]);
    }
    ours.send_many(&frames)?;
    let opened = opened(&before, &lab.filter.account()?);
    Ok(Row {
        step: 6,
        what: "answers of ours to mail and DNS ports: SYN with ACK, ACK, RST, FIN, ICMP errors"
            .to_owned(),
        expected: format!("none of {} opens a flow", frames.len()),
        seen: match &opened {
            Ok(opened) => format!("{opened} flows opened"),
            Err(_) => "no counters of flows".to_owned(),
        },
        took: begun.elapsed(),
        ok: opened.is_ok_and(|opened| opened == 0),
    })
}

fn from_within(lab: &Lab) -> Result<Vec<Row>> {
    let begun = Instant::now();
    let network = &lab.network;
    let remotes = network.countries.map(|country| country.host(150));
    let ours = PacketSocket::open(&network.edge, OUTER)?;
    let theirs = PacketSocket::open(&network.near, NEAR)?;
    let flows: Vec<(IpAddr, IpAddr, u16)> = (0..MAIL)
        .map(|number| {
            let v6 = number % 2 == 1;
            let remote = remotes[usize::from(number / 2 % 2)];
            (UNUSED.of(v6), remote.of(v6), PORT + number)
        })
        .collect();
    let out = |build: &dyn Fn(Frame) -> Frame, to_port: u16| -> Result<()> {
        let frames: Vec<Vec<u8>> = flows
            .iter()
            .map(|(own, remote, port)| build(leaving(*own, *remote).tcp(*port, to_port)).build())
            .collect();
        ours.send_many(&frames)
    };
    let back = |build: &dyn Fn(Frame) -> Frame, shift: u16| -> Result<()> {
        let frames: Vec<Vec<u8>> = flows
            .iter()
            .map(|(own, remote, port)| build(between(*remote, *own).tcp(25, port + shift)).build())
            .collect();
        theirs.send_many(&frames)
    };
    let before = lab.filter.account()?;
    let witness = Witness::call(network, notice)?;
    out(&Frame::syn, 25)?;
    back(&|frame| frame.syn().ack(), 0)?;
    out(&Frame::ack, 25)?;

    let mut asked = 0;
    while asked < QUESTIONS {
        let count = (QUESTIONS - asked).min(BATCH);
        let frames: Vec<Vec<u8>> = (asked..asked + count)
            .map(|number| {
                let v6 = number % 2 == 1;
                // Two to a port, by family; then the next host.
                let (port, host) = (number / 2 % 60_000, number / 120_000);
                let remote = remotes[(number / 2 % 2) as usize].host(160 + host as u8);
                leaving(UNUSED.of(v6), remote.of(v6))
                    .udp(1_024 + port as u16, 53)
                    .payload([0; 12])
                    .build()
            })
            .collect();
        ours.send_many(&frames)?;
        asked += count;
    }
    back(&Frame::ack, 0)?;
    back(&Frame::ack, STRANGE)?;
    back(&Frame::syn, 0)?;
    let counts = witness.dismiss()?;
    let after = lab.filter.account()?;
    let opened = |part: &str| -> Result<u64> {
        let name = "geofence_flow_inserts_total";
        Ok(after.sum(name, part)? - before.sum(name, part)?)
    };
    let inserts = opened("table=\"mail\"").and_then(|mail| Ok((mail, opened("table=\"dns\"")?)));
    let seen = |what: &str| counts.get(what).copied().unwrap_or_default();
    let wanted = u64::from(MAIL);
    Ok(vec![
        Row {
            step: 6,
            what: format!("{MAIL} mail flows of ours, then {QUESTIONS} questions of ours"),
            expected: format!("{MAIL} answered before, {MAIL} after"),
            seen: format!(
                "{} answered before, {} after; {}",
                seen(HANDSHAKES),
                seen(ANSWERS),
                match &inserts {
                    Ok((mail, dns)) => format!("{mail} mail flows and {dns} DNS flows opened"),
                    Err(_) => "no counters of flows".to_owned(),
                }
            ),
            took: begun.elapsed(),
            ok: seen(HANDSHAKES) == wanted
                && seen(ANSWERS) == wanted
                && inserts.is_ok_and(|inserts| inserts == (wanted, u64::from(QUESTIONS))),
        },
        Row {
            step: 6,
            what: "openings on the same flows, and answers to other ports".to_owned(),
            expected: "none passes".to_owned(),
            seen: list(&strange(&counts)),
            took: begun.elapsed(),
            ok: strange(&counts).is_empty(),
        },
    ])
}

const HANDSHAKES: &str = "handshakes";
const ANSWERS: &str = "answers";

fn strange(counts: &Counts) -> Counts {
    counts
        .iter()
        .filter(|(what, _)| ![HANDSHAKES, ANSWERS].contains(what))
        .map(|(what, count)| (*what, *count))
        .collect()
}

fn notice(sighting: &Sighting, seen: &mut dyn FnMut(&'static str)) {
    let ours = [UNUSED.of(false), UNUSED.of(true)].contains(&sighting.destination);
    let (Some((25, port)), Some(flags), true) =
        (sighting.ports(), sighting.transport.get(13), ours)
    else {
        return;
    };
    seen(match *flags & (number::SYN | number::ACK) {
        _ if port >= PORT + STRANGE => "answers to other ports",
        number::SYN => "openings",
        number::ACK => ANSWERS,
        _ => HANDSHAKES,
    });
}

/// A packet that leaves by the edge's outer interface.
fn leaving(own: IpAddr, remote: IpAddr) -> Frame {
    between(own, remote)
        .source_mac(EDGE_MAC)
        .destination_mac(NOWHERE)
}
