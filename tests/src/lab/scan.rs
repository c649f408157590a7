//! Step 4: while long messages pass, the same addresses look for anything else that answers.
//!
//! Scans come from a mail host that is calling us, from one that we are calling (from port 25), and from an authority
//! that we are asking (from port 53). Silence has two witnesses: nmap, to which nothing may have answered, and ours
//! behind the filter, which may not have seen a packet. Ports that our side calls from are scanned from the first
//! address only: from the others a packet to one of them may well be the answer it looks like.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::delivery::{list, tidy};
use super::laboratory::Lab;
use super::large;
use super::network::{CALLING, INSIDE, NEAR, Network, host};
use super::report::Row;
use super::scale::Scale;
use super::witness::{Sighting, Witness};
use crate::frames::{between, number};
use crate::link::sent_in_vain;
use crate::packet_socket::PacketSocket;

/// The ports that mail exempts; everything else is to be silent.
const EXEMPT: [u16; 7] = [25, 465, 587, 143, 993, 110, 995];
/// What a scan's packets are, by nmap's name.
const KINDS: [&str; 6] = ["-sS", "-sA", "-sF", "-sX", "-sN", "-sU"];
/// What nmap calls a port from which nothing came back.
const SILENT: [&str; 2] = ["filtered", "open|filtered"];

/// A scan to do.
#[derive(Clone, Debug)]
struct Scan {
    kind: &'static str,
    source: IpAddr,
    /// The port it comes from, unless any will do.
    port: Option<u16>,
    fragmented: bool,
    ports: &'static str,
}

/// What came of the scans of one kind.
#[derive(Debug, Default)]
struct Findings {
    scans: usize,
    probes: u64,
    /// States of ports that are not silence, and who found them.
    answers: BTreeSet<String>,
    took: Duration,
}

/// Long messages for as long as the scans take, and once at least.
pub(super) fn long_messages_under_scan(lab: &Lab, scale: Scale) -> Result<Vec<Row>> {
    let network = &lab.network;
    let begun = Instant::now();
    let scans = scans(network, scale);
    let (before, lost_before) = (lab.filter.account()?, lost(network)?);
    let witness = Witness::call(network, notice(network))?;
    let (findings, kinds) = std::thread::scope(|scope| {
        let scanning = scope.spawn(|| run(network, &scans));
        let mut kinds = large::Kinds::new();
        loop {
            large::round(lab, &mut kinds)?;
            if scanning.is_finished() {
                break;
            }
        }
        let findings = scanning
            .join()
            .unwrap_or_else(|payload| std::panic::resume_unwind(payload))?;
        anyhow::Ok((findings, kinds))
    })?;
    let counts = witness.dismiss()?;
    let (after, lost) = (lab.filter.account()?, lost(network)? - lost_before);
    tidy(lab)?;

    let mut rows = large::rows(&kinds);
    let seen = |what: &str| counts.get(what).copied().unwrap_or_default();
    let (v4, v6) = (seen(NARROW_V4), seen(NARROW_V6));
    let counted = after.passed("icmp_error") - before.passed("icmp_error");
    rows.push(Row {
        step: 3,
        what: "what the near router says of the narrow link".to_owned(),
        expected: "passes, over IPv4 and IPv6".to_owned(),
        seen: format!(
            "{v4} fragmentation needed, {v6} packet too big; counted icmp_error {counted}"
        ),
        took: begun.elapsed(),
        ok: v4 > 0 && v6 > 0 && (!lab.enforces() || counted >= v4 + v6),
    });
    let mut probes = 0;
    for (kind, found) in KINDS.iter().zip(findings) {
        probes += found.probes;
        let answers: Vec<&str> = found.answers.iter().map(String::as_str).take(4).collect();
        rows.push(Row {
            step: 4,
            what: format!("nmap {kind}, with -g 25 and 53, with -f"),
            expected: "silence".to_owned(),
            seen: if answers.is_empty() {
                format!("{} probes in {} scans, silence", found.probes, found.scans)
            } else {
                format!("{} probes, answered: {}", found.probes, answers.join("; "))
            },
            took: found.took,
            ok: found.answers.is_empty() && found.probes > 0,
        });
    }
    let leaks: super::witness::Counts = counts
        .iter()
        .filter(|(what, _)| ![NARROW_V4, NARROW_V6].contains(what))
        .map(|(what, count)| (*what, *count))
        .collect();
    let dropped = after.dropped() - before.dropped();
    rows.push(Row {
        step: 4,
        what: "packets of the scans behind the filter".to_owned(),
        expected: format!(
            "none of {probes} or more; each dropped, or lost on the way to the filter"
        ),
        seen: format!(
            "{}; counted as dropped {dropped}, {lost} lost on the way",
            list(&leaks)
        ),
        took: begun.elapsed(),
        ok: leaks.is_empty() && dropped + lost >= probes && dropped > lost,
    });
    Ok(rows)
}

const NARROW_V4: &str = "fragmentation needed";
const NARROW_V6: &str = "packet too big";

/// The addresses scanned from, by family: that of a caller of ours, of a host we call, of an authority we ask.
fn sources(network: &Network, v6: bool) -> [IpAddr; 3] {
    let country = network.countries[usize::from(v6)];
    [host::LONG_CALLER, host::LONG_MX, host::PLAIN].map(|number| country.host(number).of(v6))
}

fn scans(network: &Network, scale: Scale) -> Vec<Scan> {
    // A range that ends where our side's own calls begin, and one that does not.
    let (all, quiet) = match scale {
        Scale::Whole => ("1-65535", "1-63999"),
        Scale::Short => (
            "1-5900,8000-8450,65500-65535",
            "1-5900,8000-8450,63970-63999",
        ),
    };
    let mut scans = Vec::new();
    for kind in KINDS {
        for (v6, fragmented) in [(false, false), (false, true), (true, false)] {
            let [caller, called, asked] = sources(network, v6);
            for (source, port, ports) in [
                (caller, None, all),
                (called, Some(25), quiet),
                (asked, Some(53), quiet),
            ] {
                scans.push(Scan {
                    kind,
                    source,
                    port,
                    fragmented,
                    ports,
                });
            }
        }
    }
    scans
}

/// Says what of a scan's packets, and of the routers' words, is behind the filter.
fn notice(
    network: &Network,
) -> impl FnMut(&Sighting, &mut dyn FnMut(&'static str)) + Send + 'static {
    let callers = [false, true].map(|v6| sources(network, v6)[0]);
    let others: Vec<IpAddr> = [false, true]
        .into_iter()
        .flat_map(|v6| sources(network, v6)[1..].to_vec())
        .collect();
    let near = network.router(host::NEAR);
    move |sighting, seen| {
        match (sighting.source, sighting.icmp()) {
            (source, Some((3, 4))) if source == near.of(false) => seen(NARROW_V4),
            (source, Some((2, 0))) if source == near.of(true) => seen(NARROW_V6),
            _ => {}
        }
        let caller = callers.contains(&sighting.source);
        if !caller && !others.contains(&sighting.source) {
            return;
        }
        if sighting.fragment {
            seen("fragments");
        }
        let Some((_, to)) = sighting.ports() else {
            return;
        };
        let answer = !caller && CALLING.contains(&to);
        if sighting.protocol == number::UDP && !answer {
            seen("UDP packets");
        }
        if sighting.protocol == number::TCP && !answer && !EXEMPT.contains(&to) {
            seen("TCP packets");
        }
    }
}

/// Frames that the links from the world to the filter had no room for: a scan sends faster than a busy machine
/// forwards.
fn lost(network: &Network) -> Result<u64> {
    [
        (&network.world, "world0"),
        (&network.far, "far1"),
        (&network.near, NEAR),
    ]
    .into_iter()
    .map(|(namespace, interface)| sent_in_vain(namespace, interface))
    .sum()
}

/// Runs the scans one after the other, and adds up what each kind found.
fn run(network: &Network, scans: &[Scan]) -> Result<Vec<Findings>> {
    let mut findings: Vec<Findings> = KINDS.iter().map(|_| Findings::default()).collect();
    for scan in scans {
        let begun = Instant::now();
        let place = KINDS.iter().position(|kind| *kind == scan.kind);
        let found = &mut findings[place.context("a scan of no kind")?];
        found.scans += 1;
        if scan.kind == "-sU" && scan.fragmented {
            found.probes += in_two_parts(network, scan)?;
            found.took += begun.elapsed();
            continue;
        }
        let said = network
            .world
            .run(&words(scan).iter().map(String::as_str).collect::<Vec<_>>())
            .with_context(|| format!("scanning {scan:?}"))?;
        found.took += begun.elapsed();
        found.probes += probes(&said).with_context(|| format!("nmap did not count: {said}"))?;
        for state in states(&said) {
            if !SILENT.contains(&state) {
                let port = scan
                    .port
                    .map_or(String::new(), |port| format!(" -g {port}"));
                found
                    .answers
                    .insert(format!("{state} from {}{port}", scan.source));
            }
        }
    }
    Ok(findings)
}

/// What nmap refuses to do: a datagram to each port in two fragments, the first with UDP's header alone. It does
/// not wait for answers; the witness sees what passes.
fn in_two_parts(network: &Network, scan: &Scan) -> Result<u64> {
    let socket = PacketSocket::open(&network.near, NEAR)?;
    let from = scan.port.unwrap_or(40_000);
    let mut sent = 0;
    for part in scan.ports.split(',') {
        let (first, last) = part.split_once('-').context("a range of ports")?;
        let ports: Vec<u16> = (first.parse()?..=last.parse()?).collect();
        for ports in ports.chunks(64) {
            let frames: Vec<Vec<u8>> = ports
                .iter()
                .flat_map(|port| {
                    let head = between(scan.source, INSIDE.of(false)).identification(*port);
                    let tail = head.clone().fragment_field(1);
                    [
                        head.fragment_field(0x2000)
                            .udp(from, *port)
                            .udp_length(24)
                            .build(),
                        tail.protocol(number::UDP, [0x5a; 16]).build(),
                    ]
                })
                .collect();
            // Mail goes the same way, so the link may lose some.
            socket.send_burst(&frames)?;
            sent += frames.len() as u64;
        }
    }
    Ok(sent)
}

fn words(scan: &Scan) -> Vec<String> {
    let v6 = scan.source.is_ipv6();
    let mut words = vec![
        "nmap".to_owned(),
        scan.kind.to_owned(),
        "-n".to_owned(),
        "-Pn".to_owned(),
        "-T5".to_owned(),
        "--max-retries=0".to_owned(),
        "--min-rate=20000".to_owned(),
        "--max-rtt-timeout=100ms".to_owned(),
        "--initial-rtt-timeout=50ms".to_owned(),
        "-S".to_owned(),
        scan.source.to_string(),
        "-e".to_owned(),
        "world0".to_owned(),
        "-p".to_owned(),
        scan.ports.to_owned(),
        "-oX".to_owned(),
        "-".to_owned(),
    ];
    if scan.kind != "-sU" {
        let exempt = EXEMPT.map(|port| port.to_string()).join(",");
        words.extend(["--exclude-ports".to_owned(), exempt]);
    }
    if let Some(port) = scan.port {
        words.extend(["-g".to_owned(), port.to_string()]);
    }
    if scan.fragmented {
        words.push("-f".to_owned());
    }
    if v6 {
        words.push("-6".to_owned());
    }
    words.push(INSIDE.of(v6).to_string());
    words
}

/// The states in which nmap found ports, many or single.
fn states(xml: &str) -> Vec<&str> {
    ["<extraports state=\"", "<state state=\""]
        .into_iter()
        .flat_map(|tag| xml.split(tag).skip(1))
        .filter_map(|rest| rest.split_once('"'))
        .map(|(state, _)| state)
        .collect()
}

/// How many ports were tried, once each.
fn probes(xml: &str) -> Option<u64> {
    let (_, rest) = xml.split_once("numservices=\"")?;
    rest.split_once('"')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nmap_output_is_parsed() {
        let xml = "<scaninfo type=\"syn\" protocol=\"tcp\" numservices=\"10\" services=\"22-31\"/>\n\
                   <host><status state=\"up\"/><ports><extraports state=\"filtered\" count=\"9\">\n\
                   <port protocol=\"tcp\" portid=\"22\"><state state=\"open\"/></port></ports></host>\n";
        assert_eq!(states(xml), ["filtered", "open"]);
        assert_eq!(probes(xml), Some(10));
    }
}
