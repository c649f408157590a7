//! Steps 1 and 2: ordinary messages in both directions, nothing put off.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::dns;
use super::hosts::{OURS, sender};
use super::laboratory::Lab;
use super::network::host;
use super::postfix::RECIPIENT;
use super::report::Row;
use super::scale::Scale;
use super::witness::{Counts, Sighting, Witness};
use crate::frames::number;

/// How long all messages of a step may take; mail that waits for nothing needs a tenth of it.
const PATIENCE: Duration = Duration::from_secs(90);
/// An ordinary message.
const LENGTH: usize = 4000;

/// Messages from blocked countries to both our hosts, half of them under STARTTLS.
pub(super) fn inbound(lab: &Lab, scale: Scale) -> Result<Vec<Row>> {
    let begun = Instant::now();
    let (hosts, total) = (&lab.hosts, scale.messages());
    let marks = hosts.all().map(|each| each.mark());
    let ways = hosts.ways.len() as u32;
    for (number, way) in hosts.ways.iter().enumerate() {
        let count = total / ways + u32::from((number as u32) < total % ways);
        let to = format!("{RECIPIENT}@{}", OURS[way.to]);
        hosts.world.submit(count, &sender(number), &to, LENGTH)?;
    }
    let kept = || -> Result<u64> { Ok(hosts.ours[0].kept()? + hosts.ours[1].kept()?) };
    // The log is written by a process of its own, which may come after the delivery.
    let logged = || hosts.world.tally(marks[2]).to(|_| true);
    let arrived = || Ok(kept()? >= u64::from(total) && logged() >= u64::from(total));
    hosts.world.settle(marks[2], PATIENCE, arrived)?;

    let tally = hosts.world.tally(marks[2]);
    let failed =
        tally.failed + hosts.ours[0].tally(marks[0]).failed + hosts.ours[1].tally(marks[1]).failed;
    let port = |port: &str| tally.to(|relay| relay.ends_with(port));
    let (plain, submitted) = (port("]:25"), port("]:587"));
    let v6 = tally.to(|relay| relay.contains("[2001:"));
    let untouched: Vec<String> = hosts
        .ways
        .iter()
        .take(total as usize)
        .map(|way| way.relay())
        .filter(|relay| !tally.sent.contains_key(relay))
        .collect();
    let encrypted = tally
        .sent
        .keys()
        .filter(|relay| relay.ends_with("]:587"))
        .all(|relay| tally.encrypted.contains_key(relay));
    let (delivered, queued) = (kept()?, hosts.world.queued()?);
    let ok = delivered == u64::from(total)
        && plain + submitted == u64::from(total)
        && failed == 0
        && queued == 0
        && encrypted
        && untouched.is_empty();
    let mut seen = format!(
        "{delivered} delivered: {plain} to 25, {submitted} to 587{}, {v6} over IPv6; {failed} put off, {queued} queued",
        if encrypted {
            " with TLS"
        } else {
            " WITHOUT TLS"
        },
    );
    if let Some(complaint) = tally.complaint {
        seen.push_str(&format!("; {complaint}"));
    }
    tidy(lab)?;
    Ok(vec![Row {
        step: 1,
        what: "mail in from blocked countries, to the edge and to a host behind it".to_owned(),
        expected: format!("{total} delivered, none put off"),
        seen,
        took: begun.elapsed(),
        ok,
    }])
}

/// Messages from both our hosts to domains that only blocked authorities know.
pub(super) fn outbound(lab: &Lab, scale: Scale) -> Result<Vec<Row>> {
    let begun = Instant::now();
    let (hosts, total) = (&lab.hosts, scale.messages());
    let marks = hosts.all().map(|each| each.mark());
    let before = lab.filter.account()?;
    let long = lab.network.countries[0].host(host::LONG);
    let witness = Witness::call(&lab.network, move |sighting, seen| {
        notice_dns(sighting, seen);
        if sighting.fragment && [long.of(false), long.of(true)].contains(&sighting.source) {
            seen(if sighting.later {
                "later fragments"
            } else {
                "first fragments"
            });
        }
    })?;
    let mut domains: Vec<String> = vec![dns::CUT.to_owned(), dns::LONG.to_owned()];
    domains.extend((0..dns::DOMAINS).map(dns::ordinary));
    let each = total / domains.len() as u32;
    let mut rest = total % domains.len() as u32;
    for (number, domain) in domains.iter().enumerate() {
        let mut count = each;
        if rest > 0 {
            (count, rest) = (count + 1, rest - 1);
        }
        let ours = &hosts.ours[number % 2];
        let from = format!("sender@{}", OURS[number % 2]);
        ours.submit(count, &from, &format!("{RECIPIENT}@{domain}"), LENGTH)?;
    }
    let arrived = || -> Result<bool> { Ok(hosts.world.kept()? >= u64::from(total)) };
    for (ours, mark) in hosts.ours.iter().zip(marks) {
        // One that waits for the other's messages would wait in vain, so each waits for its own queue first.
        ours.settle(mark, PATIENCE, || Ok(true))?;
    }
    hosts.world.settle(marks[2], PATIENCE, || {
        let put_off = hosts
            .ours
            .iter()
            .zip(marks)
            .any(|(ours, mark)| ours.tally(mark).failed > 0);
        Ok(put_off || arrived()?)
    })?;

    let counts = witness.dismiss()?;
    let tallies = [hosts.ours[0].tally(marks[0]), hosts.ours[1].tally(marks[1])];
    let failed: u64 = tallies.iter().map(|tally| tally.failed).sum();
    let v6: u64 = tallies
        .iter()
        .map(|tally| tally.to(|relay| !relay.contains('.')))
        .sum();
    let delivered = hosts.world.kept()?;
    let queued = hosts.ours[0].queued()? + hosts.ours[1].queued()?;
    let mut seen =
        format!("{delivered} delivered, {v6} over IPv6; {failed} put off, {queued} queued");
    if let Some(complaint) = tallies.iter().find_map(|tally| tally.complaint.clone()) {
        seen.push_str(&format!("; {complaint}"));
    }
    let delivery = Row {
        step: 2,
        what:
            "mail out to hosts that only blocked authorities know, from the edge and from behind it"
                .to_owned(),
        expected: format!("{total} delivered, queue empty"),
        seen,
        took: begun.elapsed(),
        ok: delivered == u64::from(total) && failed == 0 && queued == 0,
    };
    let after = lab.filter.account()?;
    let needed = [
        "UDP answers",
        "truncated answers",
        "TCP answers",
        "first fragments",
        "later fragments",
    ];
    let replies = after.passed("reply") - before.passed("reply");
    let fragments = after.passed("fragment") - before.passed("fragment");
    let answers = Row {
        step: 2,
        what: "how the authorities answered, as seen behind the filter".to_owned(),
        expected: "by UDP, truncated then by TCP, and in fragments".to_owned(),
        seen: format!(
            "{}; counted reply {replies}, fragment {fragments}",
            list(&counts)
        ),
        took: begun.elapsed(),
        ok: needed.iter().all(|what| counts.contains_key(what))
            && (!lab.enforces() || (replies > 0 && fragments > 0)),
    };
    tidy(lab)?;
    Ok(vec![delivery, answers])
}

fn notice_dns(sighting: &Sighting, seen: &mut dyn FnMut(&'static str)) {
    match (
        sighting.protocol,
        sighting.ports(),
        sighting.transport.get(10),
    ) {
        // The flags of a DNS message follow UDP's eight bytes and its identifier.
        (number::UDP, Some((53, _)), Some(flags)) => {
            seen("UDP answers");
            if flags & 0x02 != 0 {
                seen("truncated answers");
            }
        }
        // A payload, for the handshake alone brings no answer.
        (number::TCP, Some((53, _)), _) if sighting.transport.len() > 100 => seen("TCP answers"),
        _ => {}
    }
}

pub(super) fn list(counts: &Counts) -> String {
    let counts: Vec<String> = counts
        .iter()
        .map(|(what, count)| format!("{what} {count}"))
        .collect();
    if counts.is_empty() {
        "nothing".to_owned()
    } else {
        counts.join(", ")
    }
}

/// Leaves nothing to the next step.
pub(super) fn tidy(lab: &Lab) -> Result<()> {
    for each in lab.hosts.all() {
        each.give_up()?;
        each.empty()?;
    }
    Ok(())
}
