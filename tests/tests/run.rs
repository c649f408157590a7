//! `geofence run` on a real interface: what arrives, what is counted, what is said when something is wrong.

use std::net::{IpAddr, SocketAddr};
use std::process::Output;

use anyhow::{Context as _, Result, ensure};
use geofence_tests::daemon::{Daemon, geofence};
use geofence_tests::edge::{LISTEN, PATIENCE};
use geofence_tests::link::veth;
use geofence_tests::namespace::Namespace;
use geofence_tests::packet_socket::PacketSocket;
use geofence_tests::probe::exchange;
use geofence_tests::{http, privilege, require_root};

fn listen() -> SocketAddr {
    LISTEN.parse().expect("an address")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn tcp(source: &str, port: u16) -> Vec<u8> {
    let destination = if ip(source).is_ipv4() {
        "192.0.2.2"
    } else {
        "2001:db8::2"
    };
    geofence_tests::frames::between(ip(source), ip(destination))
        .tcp(40_000, port)
        .syn()
        .build()
}

/// The frames that come through the filter when these are sent.
fn through(peer: &PacketSocket, edge: &PacketSocket, frames: &[Vec<u8>]) -> Result<Vec<Vec<u8>>> {
    exchange(peer, edge, frames, PATIENCE)
}

#[test]
fn run_drops_blocked_countries_passes_mail_and_counts_both() -> Result<()> {
    require_root!();
    let (peer, edge) = (Namespace::new()?, Namespace::new()?);
    let pair = veth(&peer, &edge)?;
    let mut daemon = Daemon::run(
        &edge,
        &[
            "--interface",
            pair.edge_interface.as_str(),
            "--listen",
            LISTEN,
        ],
        &[],
    )?;
    daemon.wait_healthy(listen(), PATIENCE)?;
    let sender = PacketSocket::open(&peer, &pair.peer_interface)?;
    let receiver = PacketSocket::open(&edge, &pair.edge_interface)?;

    let passed = [
        tcp("77.88.8.8", 25),
        tcp("84.200.69.80", 22),
        tcp("2a02:6b8::1", 993),
        tcp("10.0.0.1", 22),
    ];
    let dropped = [
        tcp("77.88.8.8", 22),
        tcp("114.114.114.114", 443),
        tcp("2a02:6b8::1", 22),
        tcp("2002:4d58:808::1", 80),
    ];
    let all: Vec<_> = passed.iter().chain(&dropped).cloned().collect();
    let seen = through(&sender, &receiver, &all)?;
    assert_eq!(seen, passed, "these and no others pass, in order");

    let metrics = http::get(&edge, listen(), "/metrics", &[])?;
    assert_eq!(metrics.status, 200);
    assert_eq!(
        metrics.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let body = metrics.body;
    let series = |country: &str, action: &str, reason: &str| {
        format!(
            "geofence_packets_total{{interface=\"{}\",country=\"{country}\",action=\"{action}\",reason=\"{reason}\"}}",
            pair.edge_interface
        )
    };
    for (line, count) in [
        (series("RU", "pass", "mail"), 2),
        (series("RU", "drop", "country_blocked"), 3),
        (series("CN", "drop", "country_blocked"), 1),
        (series("DE", "pass", "country_allowed"), 1),
        (series("special", "pass", "special_use"), 1),
    ] {
        assert!(
            body.contains(&format!("{line} {count}\n")),
            "{line} {count} is not in\n{body}"
        );
    }
    promtool(&body)?;

    let openmetrics = http::get(
        &edge,
        listen(),
        "/metrics",
        &[("Accept", "application/openmetrics-text")],
    )?;
    assert!(openmetrics.body.ends_with("# EOF\n"));
    assert_eq!(
        http::request(&edge, listen(), "POST", "/metrics", &[])?.status,
        405
    );
    let page = http::get(&edge, listen(), "/", &[])?.body;
    assert!(
        page.contains("country_blocked") && page.contains("Enforcing"),
        "{page}"
    );

    let ended = daemon.interrupt(PATIENCE)?;
    assert!(ended.status.success(), "{}", ended.stderr);
    ensure!(
        !edge
            .run(&["ip", "-details", "link", "show", &pair.edge_interface])?
            .contains("xdp"),
        "still attached"
    );
    let seen = through(&sender, &receiver, &dropped)?;
    assert_eq!(seen, dropped, "a stopped filter drops nothing");
    Ok(())
}

/// The text format as Prometheus' own tool sees it, where it is installed.
fn promtool(metrics: &str) -> Result<()> {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let Ok(mut tool) = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    else {
        privilege::skip("promtool check metrics", "promtool is not installed");
        return Ok(());
    };
    tool.stdin
        .take()
        .context("a pipe")?
        .write_all(metrics.as_bytes())?;
    let output = tool.wait_with_output()?;
    ensure!(
        output.status.success(),
        "promtool: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

#[test]
fn monitor_mode_passes_what_it_counts_as_blocked() -> Result<()> {
    require_root!();
    let (peer, edge) = (Namespace::new()?, Namespace::new()?);
    let pair = veth(&peer, &edge)?;
    let options = [
        "--interface",
        pair.edge_interface.as_str(),
        "--listen",
        LISTEN,
        "--mode",
        "monitor",
    ];
    let mut daemon = Daemon::run(&edge, &options, &[])?;
    daemon.wait_healthy(listen(), PATIENCE)?;
    let sender = PacketSocket::open(&peer, &pair.peer_interface)?;
    let receiver = PacketSocket::open(&edge, &pair.edge_interface)?;
    let frames = [tcp("77.88.8.8", 22)];
    assert_eq!(through(&sender, &receiver, &frames)?, frames);
    let body = http::get(&edge, listen(), "/metrics", &[])?.body;
    assert!(
        body.contains("action=\"pass\",reason=\"country_blocked\"} 1\n"),
        "{body}"
    );
    Ok(())
}

fn refused(namespace: &Namespace, code: i32, words: &[&str]) -> Result<String> {
    let Output { status, stderr, .. } = geofence(namespace)?.args(words).output()?;
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    ensure!(
        status.code() == Some(code),
        "{words:?}: exit {status} instead of {code}, said {stderr}"
    );
    Ok(stderr)
}

#[test]
fn refused_start_names_its_cause_and_attaches_nothing() -> Result<()> {
    require_root!();
    let (peer, edge) = (Namespace::new()?, Namespace::new()?);
    let pair = veth(&peer, &edge)?;
    let directory = tempfile::tempdir()?;
    let page = directory.path().join("page.mmdb");
    std::fs::write(&page, "<!doctype html><html>moved</html>")?;
    let page = page.to_string_lossy().into_owned();
    let interface = pair.edge_interface.as_str();
    for (code, words, expected) in [
        (
            69,
            vec!["run", "--interface", "absent0", "--strict"],
            "does not exist",
        ),
        (78, vec!["run"], "no interface to protect"),
        (
            78,
            vec!["run", "--interface", interface, "--block", "UK"],
            "GB",
        ),
        (
            2,
            vec![
                "run",
                "--interface",
                interface,
                "--database",
                &page,
                "--strict",
            ],
            "is a web page",
        ),
        (69, vec!["run", "--interface", "lo"], "xdp-mode"),
        (2, vec!["explain"], "SRC"),
    ] {
        let said = refused(&edge, code, &words)?;
        ensure!(said.contains(expected), "{words:?} said {said}");
        ensure!(
            !edge.run(&["ip", "-details", "link"])?.contains("xdp"),
            "{words:?} left a program behind"
        );
    }
    let mut first = Daemon::run(&edge, &["--interface", interface, "--listen", LISTEN], &[])?;
    first.wait_healthy(listen(), PATIENCE)?;
    let words = ["run", "--interface", interface, "--listen", LISTEN];
    let said = refused(&edge, 2, &words)?;
    ensure!(said.contains("runs as instance"), "{said}");
    let other = format!("{}-other", edge.instance());
    let words = [&words[..], &["--instance", &other, "--strict"]].concat();
    let said = refused(&edge, 2, &words)?;
    ensure!(said.contains("cannot listen on 127.0.0.1:10317"), "{said}");
    let said = refused(
        &edge,
        69,
        &[
            "run",
            "--interface",
            interface,
            "--listen",
            "127.0.0.1:10318",
            "--instance",
            &other,
        ],
    )?;
    ensure!(
        said.contains("already runs the XDP program \"geofence\" (id "),
        "{said}"
    );
    first.wait_healthy(listen(), PATIENCE)?;
    first.interrupt(PATIENCE)?;
    let unprivileged = edge
        .command("setpriv")
        .args(["--bounding-set=-all", "--inh-caps=-all", "--"])
        .arg(geofence_tests::daemon::binary()?)
        .args(["run", "--interface", interface])
        .output()?;
    let said = String::from_utf8_lossy(&unprivileged.stderr);
    ensure!(
        unprivileged.status.code() == Some(77) && said.contains("missing privilege"),
        "{said}"
    );
    Ok(())
}

#[test]
fn interface_without_its_filter_is_unhealthy() -> Result<()> {
    require_root!();
    let (peer, edge) = (Namespace::new()?, Namespace::new()?);
    let pair = veth(&peer, &edge)?;
    let mut daemon = Daemon::run(
        &edge,
        &[
            "--interface",
            pair.edge_interface.as_str(),
            "--listen",
            LISTEN,
        ],
        &[],
    )?;
    daemon.wait_healthy(listen(), PATIENCE)?;
    edge.run(&["ip", "link", "del", &pair.edge_interface])?;
    let health = http::get(&edge, listen(), "/healthz", &[])?;
    assert_eq!(health.status, 503);
    assert!(health.body.contains("\"protected\":false"));
    Ok(())
}

#[test]
fn explain_answers_by_exit_code_and_each_frame_of_a_capture() -> Result<()> {
    use std::process::Command;
    let binary = geofence_tests::daemon::binary()?;
    let code = |words: &[&str]| -> Result<(Option<i32>, String)> {
        let output = Command::new(&binary).args(words).output()?;
        Ok((
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        ))
    };
    assert_eq!(code(&["explain", "77.88.8.8", "--dport", "25"])?.0, Some(0));
    let (status, said) = code(&["explain", "77.88.8.8", "--proto", "udp", "--dport", "25"])?;
    assert_eq!(status, Some(1));
    assert!(
        said.contains("\ndrop: country_blocked, country RU (Russia)\n"),
        "{said}"
    );

    let directory = tempfile::tempdir()?;
    let path = directory.path().join("two.pcap");
    /// A capture of frames, each with the length that it had.
    fn capture(frames: &[(&[u8], usize)]) -> Result<Vec<u8>> {
        let mut file = Vec::from([
            0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0,
        ]);
        for (frame, whole) in frames {
            let [length, whole] = [frame.len(), *whole].map(u32::try_from);
            file.extend([[0; 4], [0; 4], length?.to_le_bytes(), whole?.to_le_bytes()].concat());
            file.extend(*frame);
        }
        Ok(file)
    }
    let frames = [tcp("77.88.8.8", 22), tcp("84.200.69.80", 22)];
    let whole = frames.each_ref().map(|frame| (&frame[..], frame.len()));
    std::fs::write(&path, capture(&whole)?)?;
    let (status, said) = code(&["explain", "--json", "--pcap", &path.to_string_lossy()])?;
    assert_eq!(status, Some(1), "one frame is dropped");
    let lines: Vec<serde_json::Value> = said
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    assert_eq!(lines.len(), 2);
    assert_eq!(
        (
            &lines[0]["frame"],
            &lines[0]["action"],
            &lines[0]["country"]
        ),
        (&1.into(), &"drop".into(), &"RU".into())
    );
    assert_eq!(
        (&lines[1]["reason"], &lines[1]["src"]),
        (&"country_allowed".into(), &"84.200.69.80".into())
    );

    let (status, said) = code(&["lookup", "--json", "77.88.8.8"])?;
    assert_eq!(status, Some(0));
    let object: serde_json::Value = serde_json::from_str(&said)?;
    assert_eq!(
        (&object["country"], &object["blocked"]),
        (&"RU".into(), &true.into())
    );
    // How long the extension header is decides what is behind it, and that byte was not captured.
    let [theirs, ours] = ["2a02:6b8::1", "2001:db8::1"].map(ip);
    let options = geofence_tests::frames::between(theirs, ours)
        .destination_options(&[1, 4, 0, 0, 0, 0])
        .tcp(40_000, 25)
        .syn()
        .build();
    let cut = (&options[..14 + 40 + 1], options.len());
    std::fs::write(&path, capture(&[cut, (&frames[1], frames[1].len())])?)?;
    let (_, said) = code(&["explain", "--pcap", &path.to_string_lossy()])?;
    let cut: Vec<bool> = said.lines().map(|line| line.contains("(cut:")).collect();
    assert_eq!(cut, [false, true, false], "{said}");
    // Of frames that cannot be read there is no verdict.
    let mut other = capture(&whole)?;
    other[20] = 147;
    std::fs::write(&path, other)?;
    assert_eq!(
        code(&["explain", "--pcap", &path.to_string_lossy()])?.0,
        Some(2)
    );
    Ok(())
}
