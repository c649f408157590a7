//! Events at a syslog server over TLS, whose certificate an authority of the test signs.

use std::io::Read as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use geofence_tests::edge::PATIENCE;
use geofence_tests::privilege::missing_programs;
use geofence_tests::require_root;
use geofence_tests::site::Site;
use geofence_tests::web::tls_config;
use rustls::{ServerConnection, StreamOwned};

use super::{BLOCKING, RUSSIAN, Seen};

const KEY: [&str; 9] = [
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
    "-days",
    "2",
];

/// Makes a certificate in this directory with these further words.
fn certify(directory: &Path, words: &[&str]) -> Result<()> {
    let made = Command::new("openssl")
        .current_dir(directory)
        .args(KEY)
        .args(words)
        .output()?;
    ensure!(made.status.success(), "{made:?}");
    Ok(())
}

/// An authority, and two certificates that it signs: for the host `localhost`, and for another.
fn certificates(directory: &Path) -> Result<()> {
    let authority = "basicConstraints=critical,CA:TRUE";
    certify(
        directory,
        &[
            "-subj",
            "/CN=authority",
            "-addext",
            authority,
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
        ],
    )?;
    for (name, host) in [("own", "localhost"), ("other", "other.example")] {
        let (subject, host) = (format!("/CN={name}"), format!("subjectAltName=DNS:{host}"));
        let (key, out) = (format!("{name}.key"), format!("{name}.pem"));
        let end = "basicConstraints=critical,CA:FALSE";
        let signed = ["-CA", "ca.pem", "-CAkey", "ca.key"];
        let words = ["-subj", &subject, "-addext", &host, "-addext", end];
        let files = ["-keyout", &key, "-out", &out];
        certify(directory, &[&signed[..], &words, &files].concat())?;
    }
    Ok(())
}

/// A machine that sends its drops to a server with one of the certificates, after a drop.
fn sending(
    certificate: &str,
    trusted: bool,
) -> Result<(Seen, StreamOwned<ServerConnection, std::net::TcpStream>)> {
    let ca = if trusted {
        "event-syslog-ca = \"ca.pem\"\n"
    } else {
        ""
    };
    let site = Site::new(&format!(
        "{BLOCKING}drop-events = true\nevent-syslog = \"tls://localhost:16514\"\n{ca}"
    ))?;
    certificates(site.directory.path())?;
    let [file, key] = ["pem", "key"].map(|kind| site.path(&format!("{certificate}.{kind}")));
    let config = tls_config(&file, &key)?;
    let server = site
        .edge
        .pair
        .edge
        .enter(|| TcpListener::bind("127.0.0.1:16514"))??;
    let seen = Seen::of(site)?;
    seen.wait_observed(1.0)?;
    seen.send(RUSSIAN, 22, 3)?;
    let (stream, _) = server.accept()?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok((
        seen,
        StreamOwned::new(ServerConnection::new(config)?, stream),
    ))
}

#[test]
fn events_reach_a_server_whose_certificate_is_for_the_host() -> Result<()> {
    require_root!(missing_programs(&[("openssl", "openssl")]));
    let (_seen, mut stream) = sending("own", true)?;
    let (mut read, mut part) = (String::new(), [0; 4096]);
    while read.matches("country_blocked: ").count() < 3 {
        let length = stream.read(&mut part).context("reading over TLS")?;
        ensure!(length > 0, "the connection ended after {read:?}");
        read.push_str(&String::from_utf8_lossy(&part[..length]));
    }
    // Each message has its length in front.
    let mut rest = &read[..];
    for _ in 0..3 {
        let (length, after) = rest.split_once(' ').context("a length")?;
        let (message, after) = after.split_at(length.parse()?);
        ensure!(
            message.starts_with("<30>1 ") && message.ends_with(" bytes"),
            "{read}"
        );
        rest = after;
    }
    Ok(())
}

#[test]
fn server_with_a_certificate_for_another_host_or_of_another_authority_gets_nothing() -> Result<()> {
    require_root!(missing_programs(&[("openssl", "openssl")]));
    for (certificate, trusted, says) in [
        ("other", true, "other.example"),
        (
            "own",
            false,
            "name the file of its authority in `event-syslog-ca`",
        ),
    ] {
        let (mut seen, mut stream) = sending(certificate, trusted)?;
        let mut part = [0; 4096];
        // The client leaves during the handshake.
        ensure!(
            !matches!(stream.read(&mut part), Ok(length) if length > 0),
            "{certificate}: {part:?}"
        );
        let line = seen.daemon.wait_line("EVENTS ARE LOST: ", PATIENCE)?;
        ensure!(
            line.contains("tls://localhost:16514")
                && line.contains("the certificate of localhost is refused: ")
                && line.contains(says),
            "{line}"
        );
        ensure!(
            seen.site
                .edge
                .metric("geofence_event_sink_lost_total{sink=\"syslog\"}")?
                > 0.0,
            "what was not delivered is not counted"
        );
    }
    Ok(())
}
