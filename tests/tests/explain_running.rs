//! `geofence explain --kernel` while a filter runs: the answer is the running filter's, not that of the policy given.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use geofence_tests::daemon::{Daemon, geofence};
use geofence_tests::edge::{LISTEN, PATIENCE};
use geofence_tests::link::veth;
use geofence_tests::namespace::Namespace;
use geofence_tests::{http, require_root};

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
    let before = http::get(&edge, listen, "/metrics", &[])?.body;
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
    let after = http::get(&edge, listen, "/metrics", &[])?.body;
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
