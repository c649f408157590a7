//! `geofence explain --kernel` while a filter runs: the answer is the running filter's, not that of the policy given.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use geofence_tests::daemon::{Daemon, geofence};
use geofence_tests::edge::{LISTEN, PATIENCE};
use geofence_tests::link::veth;
use geofence_tests::namespace::Namespace;
use geofence_tests::site::{RUSSIAN, Site};
use geofence_tests::{http, require_root};

/// The metrics without those of the daemon itself, which change with each scrape.
fn of_traffic(metrics: &str) -> String {
    let is_daemon = |line: &&str| {
        let name = line.strip_prefix("# HELP ").unwrap_or(line);
        name.starts_with("process_") || name.starts_with("geofence_scrape_duration_seconds")
    };
    let lines = metrics.lines().filter(|line| !is_daemon(line));
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn explain_asks_the_running_filter_by_its_own_policy() -> Result<()> {
    require_root!();
    let (peer, edge) = (Namespace::new()?, Namespace::new()?);
    let pair = veth(&peer, &edge)?;
    let explain = |source: &str| -> Result<(Option<i32>, String)> {
        let output = geofence(&edge)?
            .args(["explain", "--kernel", source, "--dport", "22"])
            .output()?;
        Ok((
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        ))
    };
    // Where none runs, a program is loaded with the policy given.
    assert_eq!(explain("77.88.8.8")?.0, Some(1));
    assert_eq!(explain("84.200.69.80")?.0, Some(0));

    let options = [
        "--interface",
        pair.edge_interface.as_str(),
        "--listen",
        LISTEN,
        "--block",
        "DE",
    ];
    let mut daemon = Daemon::run(&edge, &options, &[])?;
    let listen: SocketAddr = LISTEN.parse()?;
    daemon.wait_healthy(listen, PATIENCE)?;
    let before = of_traffic(&http::get(&edge, listen, "/metrics", &[])?.body);
    let (code, said) = explain("84.200.69.80")?;
    ensure!(
        code == Some(1) && said.contains("\ndrop: country_blocked, country DE (Germany)"),
        "{code:?} {said}"
    );
    assert_eq!(
        explain("77.88.8.8")?.0,
        Some(0),
        "the running filter blocks DE and nothing else"
    );
    let after = of_traffic(&http::get(&edge, listen, "/metrics", &[])?.body);
    assert_eq!(before, after, "a question is not traffic");

    let ended = daemon.interrupt(PATIENCE)?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    assert_eq!(
        explain("84.200.69.80")?.0,
        Some(0),
        "an ended filter is not found"
    );
    Ok(())
}

#[test]
fn question_to_the_running_filter_is_counted_nowhere() -> Result<()> {
    require_root!();
    let site = Site::new(&format!(
        "block = [\"RU\"]\nrate-limit = 2\nservices = [\"tcp/8080\"]\n\
         [[tenant]]\nname = \"shop\"\nprefixes = [\"192.0.2.0/24\"]\n\
         [[exception]]\nid = \"ticket\"\nfrom = [\"{RUSSIAN}\"]\nto = [\"shop\"]\nservices = [\"tcp/443\"]\n\
         owner = \"noc\"\nreason = \"test\"\n\
         [[list]]\nname = \"watched\"\nfile = \"watched.txt\"\nformat = \"plain\"\naction = \"alert\"\n"
    ))?;
    site.write("watched.txt", format!("{RUSSIAN}\n"))?;
    let _daemon = site.run(&[])?;
    let before = of_traffic(&site.edge.get("/metrics")?.body);
    let ask = |words: &[&str]| {
        let question = ["explain", "--kernel", RUSSIAN, "--dst", "192.0.2.9"];
        site.edge.ask(&[&question, words].concat())
    };
    for (words, code, start) in [
        (["--dport", "443"].as_slice(), 0, "pass: exception"),
        (&["--dport", "22"], 1, "drop: country_blocked"),
        (&["--dport", "8080"], 0, "pass: service"),
        // A reply to mail that this side sent, and one to what it does not open flows for.
        (
            &["--flow", "--sport", "25", "--dport", "40000"],
            0,
            "pass: reply",
        ),
        (
            &["--flow", "--sport", "443", "--dport", "40000"],
            1,
            "drop: country_blocked",
        ),
        (&["--sport", "25", "--dport", "40000"], 1, "drop:"),
    ] {
        for _ in 0..5 {
            let answer = ask(words)?;
            ensure!(
                answer.code == Some(code)
                    && answer.stdout.contains(&format!("\n{start}"))
                    && answer.stderr.is_empty(),
                "{words:?}: {answer:?}"
            );
        }
    }
    let exception = site
        .edge
        .ask(&["exception", "show", "ticket", "--json"])?
        .json()?;
    ensure!(
        exception["hits"] == 0 && exception["last_hit"].is_null(),
        "{exception}"
    );
    let events = site.done(&["events"])?.stdout;
    ensure!(events.starts_with("no events\n"), "{events}");
    let flows = site.edge.ask(&["flows", "--json"])?.json()?;
    assert_eq!(flows["flows"], serde_json::json!([]));
    let after = of_traffic(&site.edge.get("/metrics")?.body);
    assert_eq!(before, after, "a question is not traffic");
    ensure!(
        !after.contains("geofence_exception_packets_total{"),
        "{after}"
    );
    Ok(())
}
