//! Step 8: mail that our side fetches from mail servers in blocked countries, by POP3 and IMAP, gets its answers.
//!
//! What the servers say does not matter to a filter, so they say what they have and close. Web servers stay out.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::laboratory::Lab;
use super::network::host;
use super::report::Row;
use super::scale::Scale;

/// POP3 and IMAP, without and with TLS.
const PORTS: [u16; 4] = [110, 143, 993, 995];
/// What is no mail.
const OTHERS: [u16; 2] = [80, 443];
/// A mailbox: more than one segment, and more than one window.
const LENGTH: usize = 200_000;
const PATIENCE: Duration = Duration::from_secs(30);
/// How long is waited for what must not come. The kernel calls again after one second.
const SILENCE: Duration = Duration::from_secs(3);

/// Calls from the edge and from behind it to mail servers of both countries.
pub(super) fn mail(lab: &Lab, _scale: Scale) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (ports, what, is_mail) in [
        (
            PORTS.as_slice(),
            "mail fetched from blocked countries, at 110, 143, 993 and 995",
            true,
        ),
        (
            &OTHERS,
            "web servers in blocked countries, at 80 and 443",
            false,
        ),
    ] {
        let begun = Instant::now();
        let (mut whole, mut calls) = (0, 0);
        for country in lab.network.countries {
            for v6 in [false, true] {
                for port in ports {
                    let at = SocketAddr::new(country.host(host::MX).of(v6), *port);
                    serve(lab, at)?;
                    for namespace in [&lab.network.edge, &lab.network.inside] {
                        calls += 1;
                        let patience = if is_mail { PATIENCE } else { SILENCE };
                        let read = namespace.enter(|| fetch(at, patience))?;
                        whole += usize::from(read == LENGTH);
                    }
                }
            }
        }
        let expected = if is_mail { calls } else { 0 };
        rows.push(Row {
            step: 8,
            what: format!("{what}, from the edge and from behind it"),
            expected: format!("{expected} of {calls} answered in full"),
            seen: format!("{whole} of {calls}"),
            took: begun.elapsed(),
            ok: whole == expected,
        });
    }
    Ok(rows)
}

/// A server that sends everybody all that it has, until this process ends.
fn serve(lab: &Lab, at: SocketAddr) -> Result<()> {
    let listener = lab
        .network
        .world
        .enter(|| TcpListener::bind(at))?
        .with_context(|| format!("listening on {at}"))?;
    std::thread::spawn(move || {
        for mut stream in listener.incoming().filter_map(Result::ok) {
            // A client that has gone needs nothing.
            let _ = stream.write_all(&vec![b'm'; LENGTH]);
        }
    });
    Ok(())
}

/// How many bytes a server gives.
fn fetch(at: SocketAddr, patience: Duration) -> usize {
    let Ok(mut stream) = TcpStream::connect_timeout(&at, patience) else {
        return 0;
    };
    let mut mailbox = Vec::new();
    let read = stream
        .set_read_timeout(Some(patience))
        .and_then(|()| stream.read_to_end(&mut mailbox));
    read.unwrap_or(mailbox.len())
}
